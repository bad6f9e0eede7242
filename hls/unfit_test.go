package hls

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
	"weir/remux/flv"
)

// pce51 is the AudioSpecificConfig that ffmpeg 5.1 writes for 5.1(side): its
// channels are told by a program_config_element, for which an ADTS header has
// no form.
const pce51 = "118004c844002000c40d4c61766335392e33372e31303056e500"

// A track that segments have no form for is left out, counted, and costs the
// other one nothing: from the show's start, and from the middle on.
func TestUnfitTrack(t *testing.T) {
	asc, err := hex.DecodeString(pce51)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		from   uint32 // ms
		tracks int    // that segments list
	}{
		{"from the start", 0, 1},
		{"from 5 s on", 5000, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tags, unfit := synthetic.New(12).Tags(), uint64(0)
			header := flv.Tag{Type: flv.TagAudio, Timestamp: tt.from, Data: append([]byte{0xaf, 0}, asc...)}
			tags = slices.DeleteFunc(tags, func(x flv.Tag) bool {
				return tt.from == 0 && x.Type == flv.TagAudio && flv.IsSequenceHeader(x)
			})
			at := slices.IndexFunc(tags, func(x flv.Tag) bool { return x.Timestamp >= tt.from })
			tags = slices.Insert(tags, at, header)
			for _, x := range tags {
				if x.Type == flv.TagAudio && !flv.IsSequenceHeader(x) && x.Timestamp >= tt.from {
					unfit++
				}
			}
			rec := new(synthetic.Log)
			rec.Session(t, tags, framelog.Final)
			out := cutAll(t, newCutter(t, settings), rec.Batches)
			if got := out.state.Drops; got[media.DropUnfit] != unfit || got.Sum() != unfit {
				t.Errorf("dropped %v, want the %d sounds that do not fit", got, unfit)
			}
			if len(out.entries) != 3 || out.state.Breaks > 0 || out.state.Entries[2].Flags != 0 {
				t.Errorf("%d segments, %v; want three, and no discontinuity", len(out.entries), out.entries)
			}
			fit := slices.DeleteFunc(slices.Clone(out.state.Tracks), func(k track) bool { return k.Unfit })
			if len(fit) != tt.tracks || len(out.state.Tracks) != tt.tracks+1 {
				t.Errorf("tracks %v, want %d, and that the sound does not fit", out.state.Tracks, tt.tracks)
			}
			// Whoever goes on in the middle of a group, where no header is sent
			// again, knows of it.
			for i := range rec.Batches {
				if i%7 > 0 {
					continue
				}
				again := newCutter(t, settings)
				var got output
				for _, b := range rec.Batches[:i] {
					got.take(again.Push(b)...)
				}
				state, err := ParseState(again.State().Encode())
				if err != nil {
					t.Fatal(err)
				}
				if again, err = Restore(state); err != nil {
					t.Fatal(err)
				}
				for _, b := range rec.Batches {
					got.take(again.Push(b)...)
				}
				for n := range out.bodies {
					if !bytes.Equal(got.bodies[n], out.bodies[n]) {
						t.Fatalf("stopped at batch %d: segment %d has other bytes", i, n)
					}
				}
			}
		})
	}
}

// A message of NAL units without a byte in them, or of bytes that are none, is
// counted: nothing is dropped in silence.
func TestNothingInAMessage(t *testing.T) {
	for body, want := range map[string]media.DropReason{
		"\x27\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00": media.DropNoPicture,
		"\x27\x01\x00\x00\x00":                                 media.DropNoPicture,
		"\x27\x01\x00\x00\x00\x00\x00\x00\x09\x41":             media.DropDamaged,
	} {
		tags := synthetic.New(4).Tags()
		at := len(tags) / 2
		tags = slices.Insert(tags, at, flv.Tag{Type: flv.TagVideo, Timestamp: tags[at].Timestamp, Data: []byte(body)})
		rec := new(synthetic.Log)
		rec.Session(t, tags, framelog.Final)
		out := cutAll(t, newCutter(t, settings), rec.Batches)
		if d := out.state.Drops; d[want] != 1 || d.Sum() != 1 {
			t.Errorf("% x: dropped %v, want one as %v", body, d, want)
		}
	}
}
