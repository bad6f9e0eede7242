package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"live/alice\t3 s\n":            "live/alice\t3 s\n",
		"größer, 今日":                   "größer, 今日",
		"\x1b]0;owned\a":               `\u001b]0;owned\u0007`,
		"\u009b2J":                     `\u009b2J`, // CSI as one character
		"fine\rnot live\b\b":           `fine\u000dnot live\u0008\u0008`,
		"user\u202etxt.exe":            `user\u202etxt.exe`,
		"cut \xff in the middle \x1b[": "cut \ufffd in the middle " + `\u001b[`,
	} {
		var b bytes.Buffer
		if n, err := (printable{&b}).Write([]byte(text)); err != nil || n != len(text) || b.String() != want {
			t.Errorf("%q: %d, %v, %q; want %q", text, n, err, b.String(), want)
		}
	}
}

// Whatever a server answers, a terminal shows it and does not obey.
func TestServersCommandNoTerminal(t *testing.T) {
	const evil = "\x1b]0;owned\a\u009b2J"
	running := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v1/streams") && r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"streams":[{"name":"live/\u001b]0;owned\u0007","state":"\u009b2J","ingest":"n","advice":[{"code":"x","text":"\u001b[2J"}]}]}`))
			return
		}
		http.Error(w, evil, http.StatusServiceUnavailable)
	}))
	defer running.Close()
	for _, verb := range [][]string{{"streams"}, {"streams", "--json"}, {"health"}, {"kick", "live/alice"}} {
		c := start(t, append(verb, "--url", running.URL)...)
		<-c.ended
		if said := c.output.String(); strings.ContainsAny(said, "\x1b\a\u009b") || said == "" {
			t.Errorf("weir %v printed %q", verb, said)
		}
	}
}

// No error text repeats a URL with a password in it, and a secret on the
// command line is warned of.
func TestSecretsAreNotRepeated(t *testing.T) {
	for _, url := range []string{"nats://weir:s3cret@host:42x22", "nats://weir:s3cret/@host:4222", "nats://weir:s3c%zzret@host", "nats://a:1,nats://weir:s3cret@[::1"} {
		for _, verb := range []string{"ingest", "kick"} {
			args := []string{verb, "--nats", url}
			if verb == "kick" {
				args = append(args, "live/alice")
			}
			c := start(t, args...)
			<-c.ended
			if said := c.output.String(); c.code != exitUsage || strings.Contains(said, "s3c") || !strings.Contains(said, "nats://host:4222") {
				t.Errorf("%v: exit code %d: %s", verb, c.code, said)
			}
		}
	}
	for _, tt := range []struct {
		args string
		warn bool
	}{
		{"serve --admin-token s3cret", true}, {"serve --admin-token=s3cret", true}, {"ingest --nats nats://weir:s3cret@host", true},
		{"ingest --nats nats://host", false}, {"serve --admin-token-file f", false}, {"serve", false},
		{"push f rtmp://a:s3cret@host/live/a", true}, {"push f rtmps://host/live/a?key=s3cret", true}, {"push f rtmp://host/live/a", false},
	} {
		var b bytes.Buffer
		warnOfSecrets(strings.Fields(tt.args), slog.New(slog.NewTextHandler(&b, nil)))
		if strings.Contains(b.String(), "every user") != tt.warn || strings.Contains(b.String(), "s3cret") {
			t.Errorf("%s: %s", tt.args, b.String())
		}
	}
}

// Where push publishes to may be told by a file or a variable, and no error
// repeats it.
func TestPushURLIsASecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("rtmp://user:s3cret@127.0.0.1:1x/live/s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clip := filepath.Join(t.TempDir(), "clip.flv")
	if err := os.WriteFile(clip, demoClip, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args     string
		variable string
		want     string
	}{
		{"push f.flv", "", "--url-file"},
		{"push f.flv --url-file /does/not/exist", "", "--url-file"},
		{"push f.flv --url-file " + file, "", "no such file"},
		{"push f.flv", "rtmp://user:s3cret@127.0.0.1:1x/live/s3cret", "no such file"},
		{"push " + clip + " --url-file " + file, "", "publish URL"},
		{"push " + clip, "rtmp://user:s3cret@127.0.0.1:1x/live/s3cret", "publish URL"},
	} {
		if tt.variable != "" {
			t.Setenv("WEIR_PUSH_URL", tt.variable)
		} else {
			_ = os.Unsetenv("WEIR_PUSH_URL")
		}
		c := start(t, append(strings.Fields(tt.args), "--once")...)
		<-c.ended
		if said := c.output.String(); c.code == 0 || !strings.Contains(said, tt.want) || strings.Contains(said, "s3cret") {
			t.Errorf("%s with %q: %s", tt.args, tt.variable, said)
		}
	}
}
