package segmenter

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/media/framelog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

// The playlists of a show with a reconnect, while it is live and after.
func TestPlaylists(t *testing.T) {
	rec := new(recording)
	rec.session(t, show(14).tags(), framelog.End|framelog.Lost)
	second := show(30)
	second.seed = 1
	rec.session(t, second.tags(), framelog.Final)
	s := newSegmenter(t, Settings{Segment: 4 * time.Second, Window: 16 * time.Second})
	for i, b := range rec.batches {
		s.Push(b)
		if i == len(rec.batches)-4 {
			golden(t, "live.m3u8", s.State().livePlaylist())
			golden(t, "event.m3u8", s.State().vodPlaylist(0, nil))
			golden(t, "index.m3u8", s.State().multivariant("source/live.m3u8"))
		}
	}
	golden(t, "ended.m3u8", s.State().livePlaylist())
	golden(t, "vod.m3u8", s.State().vodPlaylist(0, nil))
	golden(t, "index-vod.m3u8", s.State().multivariant("source/vod.m3u8"))
}

func TestGapIsSaidSo(t *testing.T) {
	s := newSegmenter(t, settings)
	for _, b := range record(t, show(10)).batches {
		if cut := s.Push(b); cut != nil && cut.Segment != nil && cut.Segment.Sequence == 1 {
			s.State().Entries[1].Flags |= Gap
		}
	}
	golden(t, "gap.m3u8", s.State().livePlaylist())
}

// DISCONTINUITY-SEQUENCE counts what slid out of the window (RFC 8216,
// 6.2.2), also what left the State.
func TestDiscontinuitySequence(t *testing.T) {
	rec := new(recording)
	x := show(2.5)
	x.gop, x.fps, x.pictureLen = 1, 2, 10
	for range 80 {
		rec.session(t, x.tags(), framelog.End|framelog.Lost)
	}
	s := newSegmenter(t, shortSegments)
	for _, b := range rec.batches {
		s.Push(b)
	}
	st := s.State()
	listed := countBreaks(st.Entries[len(st.Entries)-st.window():])
	want := []byte("#EXT-X-DISCONTINUITY-SEQUENCE:")
	list := st.livePlaylist()
	i := bytes.Index(list, want)
	if i < 0 || st.First == 0 {
		t.Fatalf("nothing slid out:\n%s", list)
	}
	var got uint64
	for _, c := range list[i+len(want):] {
		if c < '0' || c > '9' {
			break
		}
		got = 10*got + uint64(c-'0')
	}
	if got+listed != 79 {
		t.Errorf("%d discontinuities slid out and %d are listed, want 79 in all", got, listed)
	}
}

// A show that is cut short and goes on has short segments: its declared
// bandwidth holds for every run of them (RFC 8216, 4.3.4.2), and the average is
// not above it.
func TestBandwidthOfShortSegments(t *testing.T) {
	rec := new(recording)
	for i, seconds := range []float64{1.2, 3.4, 1.1, 9} {
		x := show(seconds)
		x.seed = uint64(i)
		end := framelog.End | framelog.Lost
		if i == 3 {
			end = framelog.Final
		}
		rec.session(t, x.tags(), end)
	}
	s := newSegmenter(t, settings)
	out := segmentAll(t, s, rec.batches)
	target := 1000 * int64(out.state.Target)
	for i := range out.entries {
		var bytes, millis int64
		for _, e := range out.entries[i:] {
			bytes, millis = bytes+e.Bytes, millis+e.DurationMS
			if 2*millis >= target && 2*millis <= 3*target && bytes*8000/millis > out.state.Peak {
				t.Errorf("a run of %d ms from segment %d has %d bit/s, declared are %d", millis, i, bytes*8000/millis, out.state.Peak)
			}
		}
	}
	if mean := out.state.Bytes * 8000 / out.state.DurationMS; mean > out.state.Peak {
		t.Errorf("the average %d is above the peak %d", mean, out.state.Peak)
	}
}
