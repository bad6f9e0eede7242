// Command weir takes live video in and leaves HLS behind.
//
// One binary holds every stage of the pipeline: "weir serve" runs them all in
// one process, "weir ingest", "weir segment" and "weir origin" run one each.
// This is the only package that knows every room; it wires them, one file a
// verb.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes: 0 ended as asked, and these.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	end := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		end = append(end, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), end...)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	// Who reads the log may stall, or end: that neither stops weir nor ends it.
	stderr := newLines(os.Stderr)
	code := run(ctx, os.Args[1:], os.Stdout, stderr)
	stop()
	stderr.Close()
	os.Exit(code)
}

// run is main with its world as parameters.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("weir"),
		kong.Description("Live video in over RTMP, HLS out, with a durable frame log between.\n\nEvery flag --like-this is also the variable WEIR_LIKE_THIS."),
		kong.DefaultEnvars("WEIR"),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.ValueFormatter(formatHelp),
		defaults(),
	)
	if err != nil {
		fmt.Fprintln(stderr, "weir:", err)
		return exitFailed
	}
	if isGroup(parser.Model.Node, args) {
		args = append(slices.Clip(args), "--help")
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "weir: %v\nTry: weir --help\n", err)
		return exitUsage
	}
	// What others say is printed, but it does not command the terminal.
	log := c.Log.logger(printable{stderr}, isTerminal(stderr))
	stdout, stderr = printable{stdout}, printable{stderr}
	slog.SetDefault(log)
	warnOfSecrets(args, log)
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.BindTo(stdout, (*io.Writer)(nil))
	parsed.Bind(log)
	stage := isStage(parsed.Command())
	if stage {
		signal.Ignore(syscall.SIGPIPE)
	}
	err = parsed.Run()
	if err == nil || stage && endedAsAsked(ctx, err) {
		return 0
	}
	return report(err, stderr)
}

// isStage tells whether a command runs until it is told to end.
func isStage(command string) bool {
	verb, _, _ := strings.Cut(command, " ")
	return slices.Contains([]string{"serve", "demo", "ingest", "segment", "origin", "push"}, verb)
}

// endedAsAsked tells whether err is what a signal made of a stage that was still
// waiting to begin.
func endedAsAsked(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)))
}

// isGroup tells whether all that was said is the name of a group of verbs, as
// in weir store, or nothing at all.
func isGroup(node *kong.Node, args []string) bool {
	for _, arg := range args {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == arg })
		if i < 0 {
			return false
		}
		node = node.Children[i]
	}
	return len(node.Children) > 0
}

// formatHelp adds a flag's default and its variable to its help. Kong shows the
// default in the placeholder's place, and none where there is a placeholder.
func formatHelp(v *kong.Value) string {
	text := v.Help
	if v.Flag != nil && v.HasDefault && v.Flag.PlaceHolder != "" && v.Default != "" {
		text += " Default: " + v.Default + "."
	}
	if v.Tag != nil && len(v.Tag.Envs) > 0 {
		text += " ($" + strings.Join(v.Tag.Envs, ", $") + ")"
	}
	return text
}

// exitError carries an exit code of its own. An empty text says that
// everything is said.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// usagef returns an error about how weir was called.
func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, text: fmt.Sprintf(format, args...)}
}

func report(err error, stderr io.Writer) int {
	code := exitFailed
	if e := (*exitError)(nil); errors.As(err, &e) {
		code = e.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "weir:", text)
	}
	return code
}

// logger logs to w, which people read or programs.
func (f logFlags) logger(w io.Writer, people bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.Level}
	handler := func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }
	if f.Format == "text" || f.Format == "auto" && people {
		options.ReplaceAttr = clockTime
		handler = func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }
	}
	under := w
	if p, ok := w.(printable); ok {
		under = p.w
	}
	if l, ok := under.(*lines); ok {
		l.onDrop(func(n int) []byte {
			var line bytes.Buffer
			slog.New(handler(&line)).Warn("log lines were dropped: who reads them is too slow, or had gone", "lines", n)
			return line.Bytes()
		})
	}
	return slog.New(handler(w))
}

// clockTime shortens a line's time to what people who watch it want to know.
func clockTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
	}
	return a
}

// isTerminal tells whether people read w.
func isTerminal(w io.Writer) bool {
	if l, ok := w.(*lines); ok {
		w = l.to
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
