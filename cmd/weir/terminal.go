package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"unicode"
)

// printable writes text so that a terminal shows all of it and obeys none:
// names and errors come from others, and may hold escape sequences (ECMA-48, 5).
type printable struct{ w io.Writer }

func (p printable) Write(text []byte) (int, error) {
	if !slices.ContainsFunc([]rune(string(text)), commands) {
		return p.w.Write(text)
	}
	var b strings.Builder
	for _, r := range string(text) {
		if commands(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	if _, err := io.WriteString(p.w, b.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// commands tells whether a terminal takes r for a command: C0 and C1 controls,
// and what turns the direction of writing.
func commands(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

func always(string) bool { return true }

// secretFlags are those whose value is a secret, or may hold one.
var secretFlags = map[string]func(value string) bool{
	"--admin-token": always,
	"--auth-secret": always,
	"--jwt-secret":  always,
	"--nats":        func(url string) bool { return strings.Contains(url, "@") },
}

// warnOfSecrets tells of secrets on the command line: every user of the machine
// sees it.
func warnOfSecrets(args []string, log *slog.Logger) {
	for i, arg := range args {
		if strings.HasPrefix(arg, "rtmp") && strings.Contains(arg, "://") && strings.ContainsAny(arg, "@?") {
			log.Warn("a URL that may hold a secret stands on the command line, where every user of this machine sees it; give it by a file or a variable",
				"file", "--url-file", "variable", "WEIR_PUSH_URL")
		}
		flag, value, inline := strings.Cut(arg, "=")
		if !inline && i+1 < len(args) {
			value = args[i+1]
		}
		if secret := secretFlags[flag]; secret != nil && secret(value) {
			variable := "WEIR_" + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
			log.Warn("a secret stands on the command line, where every user of this machine sees it; give it by a file or a variable",
				"flag", flag, "file", flag+"-file", "variable", variable)
		}
	}
}
