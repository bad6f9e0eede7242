package endpoint

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/testcert"
	"weir/internal/testlog"
	"weir/remux/flv"
)

// testPair is a certificate of one host, in files.
func testPair(t *testing.T, serial int64, host string) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	testcert.Write(t, cert, key, serial, host)
	return cert, key
}

// shown connects, and returns the serial of the certificate that was shown.
func shown(t *testing.T, address, host string) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestCertificates replaces a certificate while somebody publishes by RTMPS: that
// goes on, and who comes next is shown the new one. What is of no use changes
// nothing.
func TestCertificates(t *testing.T) {
	cert, key := testPair(t, 1, "a.example.net")
	second, secondKey := testPair(t, 10, "b.example.net")
	c, err := NewCertificates([]string{cert, second}, []string{key, secondKey})
	if err != nil {
		t.Fatal(err)
	}
	text := new(testlog.Buffer)
	look := func() { // as Run does it, each second
		for range 3 {
			for _, p := range c.pairs {
				p.refresh(slog.New(slog.NewTextHandler(text, nil)))
			}
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	s := serve(t, Secure(ln, c.Config()), Config{})
	nc, err := tls.Dial("tcp", address, &tls.Config{ServerName: "a.example.net", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if nc.ConnectionState().DidResume || nc.ConnectionState().Version != tls.VersionTLS13 {
		t.Errorf("%+v", nc.ConnectionState())
	}
	p, err := publish(t.Context(), nc, target{app: "live", tcURL: "rtmps://a.example.net/live", name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	tags := show()
	send(t, p, tags[:20]...)
	s.to.got(t, 0, 20)

	for host, want := range map[string]int64{"a.example.net": 1, "b.example.net": 10, "c.example.net": 1, "": 1} {
		if got := shown(t, address, host); got != want {
			t.Errorf("who asks for %q is shown certificate %d, want %d", host, got, want)
		}
	}
	testcert.Write(t, cert, key, 2, "a.example.net")
	look()
	if got := shown(t, address, "a.example.net"); got != 2 {
		t.Errorf("certificate %d is shown, want the new one", got)
	}
	for _, bad := range []func() error{
		func() error { return os.WriteFile(key, []byte("no key"), 0o600) },
		func() error { return os.Remove(key) },
	} {
		if err := bad(); err != nil {
			t.Fatal(err)
		}
		look()
		if got := shown(t, address, "a.example.net"); got != 2 {
			t.Errorf("certificate %d is shown, want the last good one", got)
		}
	}
	if got := text.String(); strings.Count(got, "level=ERROR") != 2 || strings.Count(got, "read anew") != 1 {
		t.Errorf("the log says, each once:\n%s", got)
	}
	testcert.Write(t, cert, key, 3, "a.example.net")
	look()
	if got := shown(t, address, "a.example.net"); got != 3 {
		t.Errorf("certificate %d is shown, want the repaired one", got)
	}

	send(t, p, tags[20:]...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if x := s.to.ended(t, 0); len(x.tags) != len(tags) || x.peer.Transport != "rtmps" || !x.why.Clean {
		t.Errorf("%d of %d tags by %s, %+v", len(x.tags), len(tags), x.peer.Transport, x.why)
	}
}

func TestCertificateFiles(t *testing.T) {
	cert, key := testPair(t, 1, "a.example.net")
	_, other := testPair(t, 1, "a.example.net")
	for name, files := range map[string][2][]string{
		"none":        {nil, nil},
		"no key":      {{cert}, nil},
		"not there":   {{cert + "x"}, {key}},
		"another key": {{cert}, {other}},
		"swapped":     {{key}, {cert}},
	} {
		if _, err := NewCertificates(files[0], files[1]); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	c, err := NewCertificates([]string{cert}, []string{key})
	if err != nil || c.Expires().IsZero() {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}

// TestDialVerifies: nobody sends a stream key to whom nobody vouches for.
func TestDialVerifies(t *testing.T) {
	cert, key := testPair(t, 1, "localhost")
	c, err := NewCertificates([]string{cert}, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Secure(ln, c.Config()), Config{})
	unknown := x509.UnknownAuthorityError{}
	if _, err := Dial(t.Context(), "rtmps://"+ln.Addr().String()+"/live/alice"); !errors.As(err, &unknown) && !errors.As(err, new(x509.HostnameError)) {
		t.Errorf("%v, want a certificate that is not believed", err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if len(s.to.sessions) > 0 {
		t.Error("somebody published")
	}
}

// TestSecureReads is what an encoder that sends each tag in a record of its own
// costs over TLS: as many turns as without, and all that was sent arrives.
func TestSecureReads(t *testing.T) {
	cert, key := testPair(t, 1, "a.example.net")
	c, err := NewCertificates([]string{cert}, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100, 3000, 40_000} {
		to := newRecorder()
		var turns atomic.Int64
		to.plan = func(_ *recordedSession, turn Turn, p Plan) Plan {
			turns.Add(1)
			p.Rest, p.Rate = turn.Now.Add(100*time.Millisecond), 1000
			return p
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, Secure(ln, c.Config()), Config{Publisher: to})
		nc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{ServerName: "a.example.net", InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		p, err := publish(t.Context(), nc, target{app: "live", tcURL: "rtmps://a.example.net/live", name: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		began, sent := time.Now(), []flv.Tag{}
		for ts := uint32(0); ts < 1000; ts += 13 {
			if err := p.Pace(t.Context(), ts); err != nil {
				t.Fatal(err)
			}
			tag := inter(ts)
			tag.Data = append(bytes.Clone(tag.Data), make([]byte, size)...)
			send(t, p, tag)
			sent = append(sent, tag)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		x := s.to.ended(t, 0)
		if !bytes.Equal(run(x.tags...), run(sent...)) || !x.why.Clean {
			t.Errorf("%d of %d tags of %d bytes arrived, %+v", len(x.tags), len(sent), size, x.why)
		}
		// Large ones fill the buffer, which is a turn.
		if n, all := turns.Load(), int64(took/(75*time.Millisecond))+int64(2*len(sent)*size/recordBuffer); n > all+8 {
			t.Errorf("%d turns for %d tags of %d bytes in %v, want at most %d", n, len(sent), size, took, all+8)
		}
	}
}
