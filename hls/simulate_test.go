package hls

import (
	"testing"
	"time"
)

// TestSimulate: a show that is gone through without its media writes what one
// with them does.
func TestSimulate(t *testing.T) {
	set := Settings{Segment: time.Second, Window: 5 * time.Second}
	h := cutHistory(t, set, 100)
	var want Course
	for i, s := range h.states {
		want.LastLive = int64(len(s.LivePlaylist()))
		want.LiveBytes += want.LastLive
		if i > 0 && s.First > h.states[i-1].First {
			n := s.First/RunLength - 1
			want.Runs++
			want.RunBytes += int64(len(EncodeRun(n, h.runs[n*RunLength:][:RunLength])))
		}
	}
	last := h.states[len(h.states)-1]
	want.Segments = int64(last.Next())
	want.LastVOD = int64(len(last.VODPlaylist(0, h.runs)))
	got := Simulate(set, 100*time.Second)
	if got.Segments != want.Segments || got.Runs != want.Runs {
		t.Errorf("%d segments and %d runs, want %d and %d", got.Segments, got.Runs, want.Segments, want.Runs)
	}
	for _, x := range []struct {
		what      string
		got, want int64
	}{{"live playlists", got.LiveBytes, want.LiveBytes}, {"index objects", got.RunBytes, want.RunBytes}, {"the last VOD", got.LastVOD, want.LastVOD}} {
		if off := float64(x.got)/float64(x.want) - 1; off < -0.1 || off > 0.1 { // segments' sizes have other digits
			t.Errorf("%s: %d bytes, want %d", x.what, x.got, x.want)
		}
	}
	if year := Simulate(Settings{Segment: 6 * time.Second, Window: time.Minute}, 30*24*time.Hour); year.Segments != 432000 || year.VODs > 60 {
		t.Errorf("a month: %+v", year)
	}
}
