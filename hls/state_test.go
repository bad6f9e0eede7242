package hls

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/internal/synthetic"
	"weir/media/framelog"
	"weir/remux/flv"
)

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		set  Settings
		want string // empty: fine
	}{
		{Settings{Segment: 4 * time.Second, Window: time.Minute}, ""},
		{Settings{Segment: 500 * time.Millisecond, Window: 2 * time.Second}, ""},
		{Settings{Segment: 12 * time.Second, Window: time.Hour / 2}, ""},
		{Settings{Segment: 13 * time.Second, Window: time.Hour}, "segment duration"},
		{Settings{Segment: 0, Window: time.Minute}, "segment duration"},
		{Settings{Segment: 4 * time.Second, Window: 8 * time.Second}, "at least three segments"},
		{Settings{Segment: time.Second, Window: time.Hour}, "at most 240 segments"},
		// A State keeps milliseconds, and would not be within its own limits.
		{Settings{Segment: 1000900 * time.Microsecond, Window: 240 * 1000900 * time.Microsecond}, "whole milliseconds"},
	} {
		if err := tt.set.Check(); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: %v, want %q", tt.set, err, tt.want)
		}
	}
}

func TestParseState(t *testing.T) {
	s := newCutter(t, settings)
	cutAll(t, s, synthetic.Record(t, synthetic.New(10)).Batches)
	good := string(s.State().Encode())
	for _, tt := range []struct {
		name, old, new string
		want           error
	}{
		{"as it is", "", "", nil},
		{"a newer format", `"version":2`, `"version":3`, ErrVersion},
		{"a newer muxer", `"muxer":2`, `"muxer":3`, ErrVersion},
		{"an unknown phase", `"phase":"ending"`, `"phase":"asleep"`, ErrState},
		{"no target duration", `"target":4,`, ``, ErrState},
		{"a window without end", `"window_ms":60000`, `"window_ms":60000000`, ErrState},
		{"entries that do not begin a run", `"first":0`, `"first":7`, ErrState},
		{"an entry of another shape", `"entries":[[`, `"entries":[[1],[`, ErrState},
		{"a container that is not there", `"format":"ts"`, `"format":"ogg"`, ErrState},
		{"a carry of another container", `"carry":{"pat":`, `"carry":{"sequence":1,"pat":"`, ErrState},
		{"a codec that is not there", `"codec":"avc1"`, `"codec":"theo"`, ErrState},
		{"no JSON", `{`, `(`, ErrState},
	} {
		t.Run(tt.name, func(t *testing.T) {
			blob := strings.Replace(good, tt.old, tt.new, 1)
			if tt.old != "" && blob == good {
				t.Fatalf("%q is not in %s", tt.old, good)
			}
			if _, err := ParseState([]byte(blob)); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// FuzzParseState: whatever is read as a State can be gone on from, written
// and read again, and rendered.
func FuzzParseState(f *testing.F) {
	f.Add(newCutter(f, settings).State().Encode())
	for _, length := range []float64{10, 300} {
		s := newCutter(f, Settings{Segment: time.Second, Window: 6 * time.Second})
		x := synthetic.New(length)
		x.GOP, x.FPS, x.PictureLen = 1, 2, 10
		cutAll(f, s, synthetic.Record(f, x).Batches)
		f.Add(s.State().Encode())
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		state, err := ParseState(blob)
		if err != nil {
			return
		}
		again, err := ParseState(state.Encode())
		if err != nil || !bytes.Equal(again.Encode(), state.Encode()) {
			t.Fatalf("reads back as\n%s, %v; want\n%s", again.Encode(), err, state.Encode())
		}
		state.LivePlaylist()
		state.VODPlaylist(0, nil)
		state.Multivariant("source/live.m3u8")
		Summarize(blob)
		s, err := Restore(state)
		if err != nil {
			return
		}
		s.Push(&framelog.Batch{Header: framelog.Header{Epoch: state.Epoch, Flags: framelog.Key}, Seq: state.Position + 1})
	})
}

// FuzzPush: batches of any content never stop the segmenter, and never make
// two segments of one sequence or a segment without an end.
func FuzzPush(f *testing.F) {
	for _, b := range synthetic.Record(f, synthetic.New(3)).Batches {
		f.Add(b.Tags, byte(b.Flags))
	}
	f.Add(flv.AppendTag(nil, flv.Tag{Type: flv.TagVideo, Data: []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 9, 1}}), byte(framelog.Key))
	base := synthetic.Record(f, synthetic.New(3)).Batches
	f.Fuzz(func(t *testing.T, tags []byte, flags byte) {
		s := newCutter(t, shortSegments)
		next, seq := uint64(0), uint64(0)
		push := func(b framelog.Batch) {
			seq++
			b.Seq = seq
			for _, cut := range s.Push(&b) {
				if cut.Segment == nil {
					continue
				}
				if cut.Segment.Sequence != next || cut.Segment.Entry.DurationMS <= 0 {
					t.Fatalf("segment %d of %d ms, want number %d", cut.Segment.Sequence, cut.Segment.Entry.DurationMS, next)
				}
				next++
			}
		}
		for _, b := range base[:len(base)-1] {
			push(*b)
			push(framelog.Batch{Header: framelog.Header{Epoch: b.Epoch, Flags: framelog.Flags(flags), Session: "s"}, Tags: tags})
		}
		if _, err := ParseState(s.State().Encode()); err != nil {
			t.Fatalf("the state cannot be read: %v", err)
		}
	})
}

// Whatever an encoder does, the next owner can read what the last one saved,
// and it is small enough to be saved.
func TestEveryStateCanBeRead(t *testing.T) {
	comes := func(seconds float64) synthetic.Show {
		s := synthetic.New(seconds)
		s.Audio, s.FPS, s.PictureLen = false, 10, 20
		return s
	}
	padded := comes(1)
	padded.AVC = append(bytes.Clone(synthetic.AVC720), make([]byte, 1<<20)...)
	sound := synthetic.New(1)
	sound.Video, sound.ASC = false, append(bytes.Clone(synthetic.ASC441), make([]byte, 1<<20)...)
	for _, tt := range []struct {
		name     string
		show     synthetic.Show
		sessions int
		window   time.Duration
	}{
		{"comes and goes each tenth of a second", comes(0.1), 401, time.Minute},
		{"comes and goes more often than a long window has segments", comes(1.5), 401, MaxWindowSegments * 4 * time.Second},
		{"a video configuration of a megabyte", padded, 1, time.Minute},
		{"an audio configuration of a megabyte", sound, 1, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newCutter(t, Settings{Segment: 4 * time.Second, Window: tt.window})
			rec := new(synthetic.Log)
			for i := range tt.sessions {
				rec.Batches = rec.Batches[:0]
				rec.Session(t, tt.show.Tags(), framelog.End|framelog.Lost)
				for _, b := range rec.Batches {
					for _, cut := range s.Push(b) {
						if i%20 > 0 {
							continue
						}
						blob := cut.State.Encode()
						if _, err := ParseState(blob); err != nil || len(blob) > 16<<10 {
							t.Fatalf("session %d: a State of %d entries and %d bytes: %v", i, len(cut.State.Entries), len(blob), err)
						}
					}
				}
			}
		})
	}
}
