package endpoint

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/testmedia"
	"weir/media"
	"weir/rtmp"
)

// TestLogin lets ffmpeg log in as Adobe's servers have it: three connections,
// of which only the last is a publish. With a wrong password, or without one,
// it is told, and not a secret is in what we log.
func TestLogin(t *testing.T) {
	const password = "c4n4ry-pa55word"
	login := &rtmp.Login{
		Account: func(user string) (rtmp.Account, bool) {
			return rtmp.Account{Salt: "s4lt", Hash: rtmp.LoginHash("alice", "s4lt", password)}, user == "alice"
		},
		Key: [32]byte{1, 2, 3},
	}
	users := authFunc(func(r Request) (media.Stream, error) {
		if r.User != "alice" {
			return media.Stream{}, errors.New("nobody has logged in")
		}
		return media.ParseStream(r.App, r.Name)
	})
	file := testmedia.FLV(t, testmedia.Spec{Seconds: 2, Video: true, Audio: true, Width: 320, Height: 180})
	for _, tt := range []struct {
		user string
		in   bool
		said string
	}{
		{"alice:" + password + "@", true, ""},
		{"alice:wrong@", false, "auth"},
		{"mallory:" + password + "@", false, "auth"},
		{"", false, "auth"},
	} {
		metrics := NewMetrics(prometheus.NewRegistry())
		s := listen(t, Config{Login: login, Auth: users, Metrics: metrics})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, err := exec.CommandContext(ctx, "ffmpeg", "-v", "info", "-nostdin", "-i", file, "-c", "copy", "-f", "flv",
			"rtmp://"+tt.user+s.addr+"/live/show").CombinedOutput()
		cancel()
		if (err == nil) != tt.in {
			t.Errorf("%q: ffmpeg ended with %v:\n%s", tt.user, err, out)
		}
		if !strings.Contains(strings.ToLower(string(out)), tt.said) {
			t.Errorf("%q: ffmpeg does not say why:\n%s", tt.user, out)
		}
		if tt.in {
			if x := s.to.ended(t, 0); x.stream.Name != "show" || !x.why.Clean || len(x.tags) < 100 {
				t.Errorf("%q: %d tags of %v, %+v", tt.user, len(x.tags), x.stream, x.why)
			}
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if !tt.in && len(s.to.sessions) > 0 {
			t.Errorf("%q: a session began", tt.user)
		}
		refused := testutil.ToFloat64(metrics.refused.WithLabelValues("login"))
		if want := map[bool]float64{true: 1}[strings.HasPrefix(tt.user, "mallory") || strings.Contains(tt.user, "wrong")]; refused != want {
			t.Errorf("%q: %v logins were refused, want %v: to be asked for a password is no refusal", tt.user, refused, want)
		}
		if strings.Contains(s.text.String(), password) {
			t.Errorf("the log holds the password:\n%s", s.text)
		}
	}
}
