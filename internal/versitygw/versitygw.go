// Package versitygw runs the S3 server that the tests talk to: versitygw with
// a bucket in a temporary directory, on loopback, ready in a tenth of a second.
package versitygw

import (
	"errors"
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

// The one account there is, and the one bucket.
const (
	AccessKey = "weir-test"
	SecretKey = "weir-test-secret"
	Bucket    = "media"
)

// Gateway is a running server.
type Gateway struct {
	// URL is its address, http://127.0.0.1:port, also after a Restart.
	URL string
	// Data is the directory with the bucket's objects in it.
	Data string

	command []string
	address string
	mu      sync.Mutex
	process *os.Process
}

// Start starts a server that lives as long as the test, and gives the test's
// environment the credentials for it. The flags are versitygw's own.
func Start(tb testing.TB, flags ...string) *Gateway {
	tb.Helper()
	Environment(tb)
	return StartApart(tb, flags...)
}

// StartApart starts a server and leaves the environment alone, for tests that
// run beside others and give Environ to processes of their own.
func StartApart(tb testing.TB, flags ...string) *Gateway {
	tb.Helper()
	external.Need(tb, "versitygw")
	binary, err := install()
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Join(data, Bucket), 0o755); err != nil {
		tb.Fatal(err)
	}
	address, err := freeAddress()
	if err != nil {
		tb.Fatal(err)
	}
	g := &Gateway{URL: "http://" + address, Data: data, address: address}
	g.command = append([]string{binary, "--port", address, "--access", AccessKey, "--secret", SecretKey, "--quiet"}, flags...)
	// Metadata is in extended attributes, which the file system must have. In
	// files of its own (--sidecar) it is not replaced together with the
	// object: a GET was seen to answer one version's bytes with another's ETag,
	// and a compare-and-set on that loses updates (1.8.0).
	g.command = append(g.command, "posix", data)
	tb.Cleanup(g.Kill)
	if err := g.Restart(); err != nil {
		tb.Fatal(err)
	}
	return g
}

// Environment makes the SDK's default chain find the server's credentials and
// nothing of the machine's own.
func Environment(tb testing.TB) {
	for _, v := range Environ() {
		name, value, _ := strings.Cut(v, "=")
		tb.Setenv(name, value)
	}
}

// Environ is what Environment sets, for a process of its own.
func Environ() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey, "AWS_SESSION_TOKEN=", "AWS_PROFILE=",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
	}
}

// CreateAccount makes an account, which may do what bucket policies say. The
// server must have been started with --iam-dir.
func (g *Gateway) CreateAccount(access, secret string) error {
	return g.admin("create-user", "--access", access, "--secret", secret, "--role", "user")
}

// DeleteAccount ends an account: from then on the server does not know it (if
// it was started with --iam-cache-disable).
func (g *Gateway) DeleteAccount(access string) error {
	return g.admin("delete-user", "--access", access)
}

func (g *Gateway) admin(command ...string) error {
	args := append([]string{"admin", "--access", AccessKey, "--secret", SecretKey, "--endpoint-url", g.URL}, command...)
	if out, err := exec.Command(g.command[0], args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command[0], err, out)
	}
	return nil
}

// Restart starts the server again after a Kill, on the same address and
// objects, and waits until it listens.
func (g *Gateway) Restart() error {
	cmd := exec.Command(g.command[0], g.command[1:]...)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start versitygw: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(20 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", g.address, time.Second)
		if err == nil {
			g.mu.Lock()
			g.process = cmd.Process
			g.mu.Unlock()
			return conn.Close()
		}
		select {
		case err := <-ended:
			return fmt.Errorf("start versitygw: %w: %s", err, output.String())
		case <-deadline:
			return errors.Join(errors.New("start versitygw: does not listen"), cmd.Process.Kill())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill ends the server as a crash does.
func (g *Gateway) Kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process != nil {
		_ = g.process.Kill() // or it has ended itself
		g.process = nil
	}
}

// StoreURL is what --store takes for the bucket, below a prefix.
func (g *Gateway) StoreURL(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s", Bucket, prefix, g.URL)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// install returns the binary's path, bin/versitygw below the module's root. It
// builds it where it is missing, which takes minutes once: one process does,
// and others wait.
func install() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin")
	binary := filepath.Join(bin, "versitygw")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(bin, ".versitygw.lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	cmd := exec.Command("go", "install", "tool")
	cmd.Dir = filepath.Join(root, "internal", "tools")
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw: %w: %s", err, output)
	}
	return binary, nil
}

// moduleRoot finds the directory of weir's go.mod above the test's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module weir\n") {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", errors.New("find weir's go.mod: none above the working directory")
	}
}
