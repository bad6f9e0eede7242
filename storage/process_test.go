package storage_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"weir/media/object"
	"weir/storage"
)

// childRole names the environment variable that makes the test binary play a
// process beside the test, with the role's arguments in os.Args.
const childRole = "WEIR_STORAGE_TEST_ROLE"

// roles are what a child process can be. Each says "ready", waits for a line,
// does its work and prints its result.
var roles = map[string]func(ctx context.Context, args []string) (result string, err error){
	"create":    roleCreate,
	"count":     roleCount,
	"overwrite": roleOverwrite,
	"linger":    roleLinger,
	"limited":   roleLimited,
}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(childRole)]
	if !ok {
		goleak.VerifyTestMain(m)
	}
	result, err := role(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(result)
}

// child is a running role.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startRole starts a child and waits until it is ready.
func startRole(t *testing.T, role string, args ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd, in, bufio.NewScanner(out)}
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	if line := c.line(t); line != "ready" {
		t.Fatalf("child %s says %q, want ready", role, line)
	}
	return c
}

func (c *child) begin(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		t.Fatal(err)
	}
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	if !c.out.Scan() {
		t.Fatalf("child says no more: %v, %v", c.out.Err(), c.cmd.Wait())
	}
	return c.out.Text()
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait() // says that it was killed
}

// ready tells the parent and waits for its go.
func ready() error {
	fmt.Println("ready")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// roleCreate races for n keys and counts those it won. Arguments: store, n.
func roleCreate(ctx context.Context, args []string) (string, error) {
	s, n, err := storeAndNumber(ctx, args)
	if err != nil {
		return "", err
	}
	won := 0
	for i := range n {
		_, err := s.Put(ctx, object.Object{Key: fmt.Sprintf("create/%d", i), Body: fmt.Append(nil, os.Getpid())}, absent)
		switch {
		case err == nil:
			won++
		case !errors.Is(err, object.ErrPrecondition):
			return "", err
		}
	}
	return strconv.Itoa(won), nil
}

// roleCount counts to n on the key "counter". Arguments: store, n.
func roleCount(ctx context.Context, args []string) (string, error) {
	s, n, err := storeAndNumber(ctx, args)
	if err != nil {
		return "", err
	}
	return "counted", count(ctx, s, "counter", n)
}

// roleOverwrite writes sealed bodies to n keys until it is killed. Arguments:
// store, n.
func roleOverwrite(ctx context.Context, args []string) (string, error) {
	s, n, err := storeAndNumber(ctx, args)
	if err != nil {
		return "", err
	}
	for i := 0; ; i++ {
		if err := writeSealed(ctx, s, fmt.Sprintf("sealed/%d", i%n)); err != nil {
			return "", err
		}
	}
}

func storeAndNumber(ctx context.Context, args []string) (storage.Store, int, error) {
	s, err := storage.Open(ctx, args[0])
	if err != nil {
		return nil, 0, err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, 0, err
	}
	return s, n, ready()
}

// testProcesses is the part of the conformance suite for stores that several
// processes share: here two others beside this one, on the store at url.
func testProcesses(t *testing.T, url string) {
	s, err := storage.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("race to create", func(t *testing.T) {
		const n = 50
		a, b := startRole(t, "create", url, strconv.Itoa(n)), startRole(t, "create", url, strconv.Itoa(n))
		a.begin(t)
		b.begin(t)
		wonA, _ := strconv.Atoi(a.line(t))
		wonB, _ := strconv.Atoi(b.line(t))
		if wonA+wonB != n {
			t.Errorf("two processes won %d and %d races of %d", wonA, wonB, n)
		}
		if got := len(keys(t, s, "create/")); got != n {
			t.Errorf("%d objects after %d races", got, n)
		}
	})
	t.Run("compare and set counter", func(t *testing.T) {
		const each = 30
		put(t, s, "counter", "", always)
		a, b := startRole(t, "count", url, strconv.Itoa(each)), startRole(t, "count", url, strconv.Itoa(each))
		a.begin(t)
		b.begin(t)
		if err := count(t.Context(), s, "counter", each); err != nil {
			t.Error(err)
		}
		a.line(t)
		b.line(t)
		wantBody(t, s, "counter", strings.Repeat("x", 3*each))
	})
	t.Run("killed writers", func(t *testing.T) {
		for range 5 {
			c := startRole(t, "overwrite", url, "3")
			c.begin(t)
			// Not a wait for something to be done, but for it to be under way.
			for len(keys(t, s, "sealed/")) < 3 {
			}
			c.kill(t)
			for _, key := range keys(t, s, "sealed/") {
				body, _, err := s.Get(t.Context(), key)
				if err != nil || !sealed(body) {
					t.Errorf("a killed writer left %d bytes of no single write at %s, %v", len(body), key, err)
				}
			}
		}
	})
}
