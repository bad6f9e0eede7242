package hls

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/internal/synthetic"
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
	rec := new(synthetic.Log)
	rec.Session(t, synthetic.New(14).Tags(), framelog.End|framelog.Lost)
	second := synthetic.New(30)
	second.Seed = 1
	rec.Session(t, second.Tags(), framelog.Final)
	s := newCutter(t, Settings{Segment: 4 * time.Second, Window: 16 * time.Second})
	for i, b := range rec.Batches {
		s.Push(b)
		if i == len(rec.Batches)-4 {
			golden(t, "live.m3u8", s.State().LivePlaylist())
			golden(t, "event.m3u8", s.State().VODPlaylist(0, nil))
			golden(t, "index.m3u8", s.State().Multivariant("source/live.m3u8"))
		}
	}
	golden(t, "ended.m3u8", s.State().LivePlaylist())
	golden(t, "vod.m3u8", s.State().VODPlaylist(0, nil))
	golden(t, "index-vod.m3u8", s.State().Multivariant("source/vod.m3u8"))
}

func TestGapIsSaidSo(t *testing.T) {
	s := newCutter(t, settings)
	out := cutAll(t, s, synthetic.Record(t, synthetic.New(10)).Batches)
	out.state.Entries[1].Flags |= Gap
	golden(t, "gap.m3u8", out.state.LivePlaylist())
}

// DISCONTINUITY-SEQUENCE counts what slid out of the window (RFC 8216,
// 6.2.2), also what left the State.
func TestDiscontinuitySequence(t *testing.T) {
	rec := new(synthetic.Log)
	x := synthetic.New(2.5)
	x.GOP, x.FPS, x.PictureLen = 1, 2, 10
	for range 80 {
		rec.Session(t, x.Tags(), framelog.End|framelog.Lost)
	}
	s := newCutter(t, shortSegments)
	for _, b := range rec.Batches {
		s.Push(b)
	}
	st := s.State()
	listed := countBreaks(st.Entries[len(st.Entries)-st.Window():])
	want := []byte("#EXT-X-DISCONTINUITY-SEQUENCE:")
	list := st.LivePlaylist()
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
	rec := new(synthetic.Log)
	for i, seconds := range []float64{1.2, 3.4, 1.1, 9} {
		x := synthetic.New(seconds)
		x.Seed = uint64(i)
		end := framelog.End | framelog.Lost
		if i == 3 {
			end = framelog.Final
		}
		rec.Session(t, x.Tags(), end)
	}
	s := newCutter(t, settings)
	out := cutAll(t, s, rec.Batches)
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

func readGolden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
