//go:build unix

package testweir

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/internal/external"
)

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Eventually waits until something is so, which an idle machine brings about
// within most. A test does not fail for a machine that has other things to do:
// it waits for a minute at least, and tells. Where the time itself is to be
// judged, use a Stopwatch.
func Eventually(t testing.TB, most time.Duration, what string, is func() bool) {
	t.Helper()
	began := time.Now()
	for ; ; time.Sleep(20 * time.Millisecond) {
		if is() {
			break
		}
		if time.Since(began) > max(4*most, time.Minute) {
			t.Fatalf("not within %v: %s", time.Since(began).Round(time.Second), what)
		}
	}
	if took := time.Since(began); took > most {
		t.Logf("%s: took %v, and %v at most on an idle machine", what, took.Round(time.Millisecond), most)
	}
}

// Tool runs a program to its end, which is to be a good one.
func Tool(t testing.TB, name string, args ...string) {
	t.Helper()
	external.Need(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), LongestLife)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// Transcript is what a process printed, safe to read while it runs.
type Transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds what was printed.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

// String is all that was printed so far.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// Tail is the end of a text.
func Tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Process is a child of the test, killed at its end at the latest.
type Process struct {
	Output Transcript    // both of its outputs
	Ended  chan struct{} // closed at its end

	cmd *exec.Cmd
}

// LongestLife is how long a process may live: a test that waits for one which
// never ends is to fail by itself, and say which. The long tests raise it.
var LongestLife = 8 * time.Minute

// Spawn starts a process. The environment is the test's own with env behind it.
func Spawn(t testing.TB, env []string, name string, args ...string) *Process {
	t.Helper()
	external.Need(t, filepath.Base(name))
	p := &Process{cmd: exec.Command(name, args...), Ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.Output, &p.Output
	p.cmd.WaitDelay = time.Second // a shell's children may hold the output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cut := leash(t, p.PID())
	said := fmt.Sprintf("%s %s", filepath.Base(name), strings.Join(args, " "))
	old := time.AfterFunc(LongestLife, func() {
		t.Errorf("%s did not end within %v", said, LongestLife)
		_ = p.Signal(syscall.SIGKILL)
	})
	go func() {
		defer close(p.Ended)
		_ = p.cmd.Wait() // tests look at the exit code
	}()
	t.Cleanup(func() {
		old.Stop()
		p.Kill(t)
		cut()
		if t.Failed() {
			t.Logf("%s said:\n%s", said, Tail(p.Output.String(), 40))
		}
	})
	return p
}

// leash kills a process, frozen or not, should the test binary die before it
// has: a timeout runs no cleanup. Cut it when the process is gone.
func leash(t testing.TB, pid int) (cut func()) {
	t.Helper()
	watch := exec.Command("sh", "-c", fmt.Sprintf("read -r _; kill -9 %d", pid))
	if _, err := watch.StdinPipe(); err != nil { // closed by our death
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = watch.Process.Kill()
		_ = watch.Wait() // killed
	}
}

// The exit codes of weir for what has failed, and for a wrong call.
const (
	ExitFailed = 1
	ExitUsage  = 2
)

// Start starts weir.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	return StartIn(t, nil, args...)
}

// StartIn is Start with an environment.
func StartIn(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	external.Need(t, "a build of weir")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return Spawn(t, append(env, AsWeir+"=1"), path, args...)
}

// Run runs weir to its end, and returns its exit code and what it said.
func Run(t testing.TB, args ...string) (code int, said string) {
	t.Helper()
	return RunIn(t, nil, args...)
}

// RunIn is Run with an environment.
func RunIn(t testing.TB, env []string, args ...string) (code int, said string) {
	t.Helper()
	p := StartIn(t, env, args...)
	code = p.Wait()
	return code, p.Output.String()
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal, if the process is there to get it.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Send sends a signal to a process that is there, or has just gone.
func (p *Process) Send(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil && !p.Over() {
		t.Fatalf("send %v: %v", s, err)
	}
}

// Kill is kill -9.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.Send(t, syscall.SIGKILL)
	<-p.Ended
}

// Stop asks the process to end, and returns its exit code when it has.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	p.Send(t, syscall.SIGTERM)
	return p.Wait()
}

// Wait waits for the process to end, and returns its exit code: -1 where a
// signal ended it.
func (p *Process) Wait() int {
	<-p.Ended
	return p.cmd.ProcessState.ExitCode()
}

// CPU is the CPU time that the process took, when it has ended.
func (p *Process) CPU() time.Duration {
	<-p.Ended
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// EndedBy is the signal that ended the process, -1 for none.
func (p *Process) EndedBy() syscall.Signal {
	<-p.Ended
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		return status.Signal()
	}
	return -1
}

// Over tells whether the process has ended.
func (p *Process) Over() bool {
	select {
	case <-p.Ended:
		return true
	default:
		return false
	}
}

// Said returns when a process first logged a message.
func (p *Process) Said(t testing.TB, message string) time.Time {
	t.Helper()
	for line := range strings.Lines(p.Output.String()) {
		var record struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == message {
			return record.Time
		}
	}
	t.Fatalf("the process never said %q", message)
	return time.Time{}
}

// Memory is what the kernel says of a process's memory, in bytes: VmRSS is what
// it has now, VmHWM the most it had.
func (p *Process) Memory(t testing.TB, what string) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.PID()), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, what+": %d kB", &kB); n == 1 {
			return kB << 10
		}
	}
	t.Fatalf("the kernel says nothing of %s", what)
	return 0
}
