package media

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseStream(t *testing.T) {
	for _, tt := range []struct {
		name      string
		app, part string
		want      string // empty: refused
	}{
		{"plain", "live", "alice", "live/alice"},
		{"slashes around the app", "/live/", "alice", "live/alice"},
		{"the query is cut off, of both", "live?x=1", "alice?key=secret", "live/alice"},
		{"dots inside", "live", "a.b.c", "live/a.b.c"},
		{"a dot at the end", "live", "a.", "live/a."},
		{"64 bytes", "live", strings.Repeat("a", 64), "live/" + strings.Repeat("a", 64)},
		{"65 bytes", "live", strings.Repeat("a", 65), ""},
		{"no app", "", "alice", ""},
		{"no name", "live", "", ""},
		{"only a query", "live", "?key=secret", ""},
		{"a dot first", "live", ".alice", ""},
		{"the parent folder", "live", "..", ""},
		{"two dots inside", "live", "a..b", ""},
		{"a slash inside", "live", "a/b", ""},
		{"a slash inside the app", "a/b", "alice", ""},
		{"a subject's wildcard", "live", "a*", ""},
		{"a space", "live", "a b", ""},
		{"not ASCII", "live", "älice", ""},
		{"a percent sign", "live", "a%2e", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseStream(tt.app, tt.part)
			if tt.want == "" {
				if !errors.Is(err, ErrStreamName) {
					t.Fatalf("%v, %v; want it refused", s, err)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error repeats what may be a key: %v", err)
				}
				return
			}
			if err != nil || s.String() != tt.want {
				t.Fatalf("%v, %v; want %s", s, err, tt.want)
			}
			if back, err := ParseToken(s.Token()); err != nil || back != s {
				t.Errorf("token %s reads back as %v, %v", s.Token(), back, err)
			}
			if strings.ContainsAny(s.Token(), ".*> ") {
				t.Errorf("token %s is no single token of a subject", s.Token())
			}
		})
	}
	if _, err := ParseToken("live"); !errors.Is(err, ErrStreamName) {
		t.Errorf("a token without a slash: %v", err)
	}
}

func TestBroadcastIDSortsByTime(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 45, 0, 0, time.FixedZone("", 3600))
	first := BroadcastID(at, [10]byte{0xff, 0xff})
	second := BroadcastID(at.Add(time.Second), [10]byte{})
	if !strings.HasPrefix(first, "20261121T004500Z-") || len(first) != len(second) || first >= second {
		t.Errorf("%s, %s: want UTC, and the second behind the first", first, second)
	}
	if strings.ContainsAny(first, ".*> /") {
		t.Errorf("%s is no single token of a subject", first)
	}
}

// When a broadcast began stands in its id, whoever reads it.
func TestBroadcastBegan(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 45, 7, 999, time.UTC)
	if got, err := BroadcastBegan(BroadcastID(at, [10]byte{1})); err != nil || !got.Equal(at.Truncate(time.Second)) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, id := range []string{"", "b1", "20261321T014500Z-x", "2026-11-21"} {
		if got, err := BroadcastBegan(id); err == nil {
			t.Errorf("%q began at %v", id, got)
		}
	}
}

func TestKindString(t *testing.T) {
	if Video.String() != "video" || Audio.String() != "audio" || Kind(0).String() != "unknown" {
		t.Error("kinds are misnamed")
	}
}
