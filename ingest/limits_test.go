package ingest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/media"
	"weir/media/publishing"
	"weir/remux/flv"
)

// TestLimits is a session that goes beyond each limit of its grant, and one that
// stays within: who goes beyond is told which limit it is.
func TestLimits(t *testing.T) {
	small := []flv.Tag{avcConfig(0, testAVCC...), aacHeader(0, 0x12, 0x10), key(0)} // 320x180
	for _, tt := range []struct {
		name   string
		limits publishing.Limits
		told   string // part of the status; empty: it goes on
	}{
		{"none", publishing.Limits{}, ""},
		{"just as large", publishing.Limits{Width: 320, Height: 180}, ""},
		{"upright", publishing.Limits{Width: 180, Height: 320}, ""},
		{"too wide", publishing.Limits{Width: 318, Height: 180}, "320x180, and may be 318x180"},
		{"too high", publishing.Limits{Width: 1920, Height: 178}, "320x180"},
		{"codecs", publishing.Limits{Codecs: publishing.Codecs{"AVC1", "mp4a"}}, ""},
		{"another sound", publishing.Limits{Codecs: publishing.Codecs{"avc1"}}, "sent as mp4a.40.2: choose avc1"},
		{"another picture", publishing.Limits{Codecs: publishing.Codecs{"hvc1", "mp4a"}}, "sent as avc1.64000c: choose hvc1 or mp4a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newTestPublisher(Config{})
			l := d.publishBy(t, publishing.Grant{Stream: media.Stream{App: "live", Name: "alice"}, Limits: tt.limits})
			err := l.try(small...)
			checkLimit(t, err, tt.told)
			l.End(t.Context(), Ending{Reason: "unpublished", Clean: true, Err: err})
			if text := d.text.String(); (tt.told != "") != strings.Contains(text, "reason=limit") {
				t.Errorf("the log says\n%s", text)
			}
		})
	}
}

func checkLimit(t *testing.T, err error, told string) {
	t.Helper()
	r := new(Refusal)
	switch {
	case told == "" && err != nil:
		t.Errorf("%v: it is within its limits", err)
	case told == "":
	case !errors.As(err, &r):
		t.Errorf("%v, want a refusal", err)
	default:
		if code, text := r.Status(); code != denied || !strings.Contains(text, told) {
			t.Errorf("the encoder is told %s: %q, want %q", code, text, told)
		}
	}
}

// TestBitrateLimit sends at, above and far above the rate: what waited in a slow
// network may come at once.
func TestBitrateLimit(t *testing.T) {
	const rate = 800_000 // bit/s
	for _, tt := range []struct {
		name   string
		bytes  func(second int) int
		within int // seconds that it goes on for; 0: a minute
	}{
		{"at the rate", func(int) int { return rate / 8 }, 0},
		{"after a pause", func(s int) int {
			switch {
			case s < 20:
				return rate / 8
			case s < 28:
				return 0
			case s == 28:
				return rate / 8 * 9 // all that waited
			}
			return rate / 8
		}, 0},
		{"a quarter above", func(int) int { return rate / 8 * 5 / 4 }, 45},
		{"twice as much", func(int) int { return rate / 8 * 2 }, 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTestPublisher(Config{})
				l := d.publishBy(t, publishing.Grant{Stream: media.Stream{App: "live", Name: "alice"}, Limits: publishing.Limits{Bitrate: rate}})
				l.send(avcConfig(0), key(0))
				ended := 0
				var err error
				for s := 0; s < 60 && err == nil; s++ {
					l.buffer += tt.bytes(s)
					if err = l.try(inter(uint32(1000 * s))); err != nil {
						ended = s
					}
					time.Sleep(time.Second)
				}
				told := ""
				if tt.within > 0 {
					told = "above the 800 kbit/s"
				}
				checkLimit(t, err, told)
				if ended > tt.within {
					t.Errorf("it was ended after %d s, want %d at most", ended, tt.within)
				}
				l.End(t.Context(), Ending{Reason: "unpublished", Clean: true, Err: err})
			})
		})
	}
}

// TestDurationLimit ends a publish when its time is over, whatever comes.
func TestDurationLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestPublisher(Config{})
		l := d.publishBy(t, publishing.Grant{Stream: media.Stream{App: "live", Name: "alice"}, Limits: publishing.Limits{DurationSeconds: 5}})
		l.send(avcConfig(0), key(0))
		p, err := l.turn(Turn{})
		if err != nil || time.Until(p.Next) > 5*time.Second {
			t.Fatalf("%v, the next turn in %v", err, time.Until(p.Next))
		}
		time.Sleep(5 * time.Second)
		_, err = l.turn(Turn{})
		checkLimit(t, err, "last for 5s")
		l.End(t.Context(), Ending{Err: err})
		if !d.log.ended(t, 0).clean {
			t.Error("the broadcast waits")
		}
	})
}

// TestTooMany: the registry knows of as many of the owner's streams as may be.
func TestTooMany(t *testing.T) {
	log := new(recordingLog)
	log.check = func(media.Stream) error { return ErrTooMany }
	_, err := newTestPublisher(Config{Log: log}).Publish(t.Context(), publishing.Grant{}, Peer{}, nil)
	checkLimit(t, err, "live already")
}
