package main

import (
	"context"
	"strings"
	"testing"

	"weir/internal/testweir"
)

// command runs weir in this process, until the test ends or stop is called.
type command struct {
	cancel context.CancelFunc
	ended  chan struct{}
	code   int
	output testweir.Transcript
}

func start(t testing.TB, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &command{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.code = run(ctx, args, &c.output, &c.output)
	}()
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("weir %s said:\n%s", strings.Join(args, " "), c.output.String())
		}
	})
	return c
}

// stop tells the command to end, and returns its exit code.
func (c *command) stop() int {
	c.cancel()
	<-c.ended
	return c.code
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"version"}, 0, "weir "},
		{[]string{"--help"}, 0, "serve"},
		{nil, 0, "Commands:"},
		{[]string{"store"}, 0, "store sweep"},
		{[]string{"serve", "--help"}, 0, "Default: ./weir-data."},
		{[]string{"serve", "--help"}, 0, "Default: localhost:8080."},
		{[]string{"serve", "--help"}, 0, "Default: localhost:1935."},
		{[]string{"serve", "--help"}, 0, "an embedded server under"},
		{[]string{"segment", "--help"}, 0, "Default: localhost:8082."},
		{[]string{"serve", "--base-url", "weir.example.net"}, exitUsage, "as in https://weir.example.net"},
		{[]string{"serve", "--base-url", "ftp://weir.example.net"}, exitUsage, "as in https://weir.example.net"},
		{[]string{"serve", "--base-url", "https://weir.example.net/?a=b"}, exitUsage, "as in https://weir.example.net"},
		{[]string{"streams", "--url", "localhost"}, exitUsage, "--url: want an address"},
		{[]string{"kick", "live/alice", "--http", "nowhere"}, exitUsage, "--http: want an address"},
		{[]string{"serve", "--help"}, 0, "WEIR_RTMP"},
		{[]string{"nonsense"}, exitUsage, "weir --help"},
		{[]string{"ingest"}, exitUsage, "--nats"},
		{[]string{"segment"}, exitUsage, "--store"},
		{[]string{"serve", "--segment", "40s"}, exitUsage, "segment duration"},
		{[]string{"serve", "--store", "ftp://x"}, exitUsage, "--store"},
		{[]string{"health", "--url", "http://127.0.0.1:1"}, exitFailed, "is it running"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			c := start(t, tt.args...)
			<-c.ended
			if c.code != tt.code || !strings.Contains(strings.Join(strings.Fields(c.output.String()), " "), tt.want) { // help is wrapped anywhere
				t.Errorf("exit code %d, said %q; want %d and %q", c.code, c.output.String(), tt.code, tt.want)
			}
		})
	}
}

// A stage that shares NATS and the store is not told of what it does not have.
func TestHelpIsTrue(t *testing.T) {
	for _, verb := range []string{"ingest", "segment", "origin", "kick"} {
		c := start(t, verb, "--help")
		<-c.ended
		if text := c.output.String(); strings.Contains(text, "embedded") || strings.Contains(text, "under --data") {
			t.Errorf("weir %s --help tells of an embedded server:\n%s", verb, text)
		}
	}
}

// Flags and variables agree: each flag of serve can be set by its variable.
func TestVariables(t *testing.T) {
	t.Setenv("WEIR_SEGMENT", "40s")
	c := start(t, "serve", "--data", t.TempDir())
	<-c.ended
	if c.code != exitUsage {
		t.Errorf("WEIR_SEGMENT=40s: exit code %d, want %d as for the flag", c.code, exitUsage)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "512": 512, "64KB": 64 << 10, "8mb": 8 << 20, "1.5GB": 3 << 29} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || int64(b) != want {
			t.Errorf("%s: %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1PB", "8MBx"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: accepted as %d", text, b)
		}
	}
}
