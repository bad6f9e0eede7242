package hls

import (
	"bytes"
	"testing"
	"time"

	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
	"weir/remux/flv"
)

// alternating is a show of a large group of pictures, behind which a few bytes of
// sound come whose configuration changes again and again.
func alternating(t *testing.T, pictures int, seconds, changes int) (batches []*framelog.Batch, group int) {
	s := synthetic.New(2)
	s.GOP, s.FPS, s.PictureLen = 100, 10, pictures
	rec := new(synthetic.Log)
	rec.Session(t, s.Tags(), 0)
	for _, b := range rec.Batches {
		group += len(b.Tags)
	}
	every := uint32(1000 * seconds / changes)
	for i := range uint32(changes) {
		asc := []byte{0xaf, 0, 0x12, 0x10}
		if i%2 == 0 {
			asc = []byte{0xaf, 0, 0x11, 0x90}
		}
		ts := 2000 + every*i
		tags := flv.AppendTag(nil, flv.Tag{Type: flv.TagAudio, Timestamp: ts, Data: asc})
		for k := range every / 24 {
			tags = flv.AppendTag(tags, flv.Tag{Type: flv.TagAudio, Timestamp: ts + k*23, Data: []byte{0xaf, 1, 0x21, 0x10, 4, 0x60, 0x8c, 0x1c}})
		}
		rec.Add(&framelog.Batch{Tags: tags})
	}
	return rec.Batches, group
}

// A few bytes of sound have no more pictures repeated than media time pays for,
// and whoever goes on from any State repeats the same.
func TestRepeatedIsPaidFor(t *testing.T) {
	batches, group := alternating(t, 200<<10, 12, 40)
	log := aged{batches, make([]bool, len(batches))}
	var out, again output
	recalls := 0
	c := newCutter(t, settings)
	for _, b := range batches {
		out.take(c.Push(b)...)
		if _, _, ok := c.Recall(); ok {
			recalls++
		}
		log.recall(c)
	}
	size := 0
	for _, body := range out.bodies {
		size += len(body)
	}
	const most = 2 + 12/4 + 1 // in advance, and one for each four seconds
	if limit := group + most*RecallBytes; recalls < 3 || recalls > most*RecallBytes/group || size > limit {
		t.Errorf("%d segments of %d bytes, %d reads of a group of %d bytes; want at most %d bytes", len(out.bodies), size, recalls, group, limit)
	}
	if s := c.State(); s.Pauses.Repeated == 0 {
		t.Error("the State knows nothing of it")
	}
	// The next owner begins where each State says.
	c = newCutter(t, settings)
	for i := 0; i < len(batches); i++ {
		cuts := c.Push(batches[i])
		again.take(cuts...)
		log.recall(c)
		if len(cuts) == 0 {
			continue
		}
		state, err := ParseState(cuts[len(cuts)-1].State.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if c, err = Restore(state); err != nil {
			t.Fatal(err)
		}
		for i > 0 && batches[i].Seq > state.Position {
			i--
		}
	}
	if len(again.bodies) != len(out.bodies) {
		t.Fatalf("%d segments by many owners, want %d", len(again.bodies), len(out.bodies))
	}
	for i := range out.bodies {
		if !bytes.Equal(again.bodies[i], out.bodies[i]) {
			t.Errorf("segment %d is another one by another owner", i)
		}
	}
}

// A sound that no decoder would take is not kept in the State, which NATS would
// refuse for ever.
func TestLargeSoundIsNotKept(t *testing.T) {
	c := newCutter(t, settings)
	for _, size := range []int{300, keptFrame, 300, keptFrame + 1, 2 << 20, 300, keptFrame, keptFrame} {
		c.writeSound(&media.Frame{Kind: media.Audio, Data: make([]byte, size)}, true)
		kept := 0
		for _, k := range c.pauses.Kept {
			kept += len(k.Data)
		}
		c.keep()
		if n := len(c.state.Encode()); kept > keptBytes || n > 2*keptBytes {
			t.Errorf("behind a sound of %d bytes %d are kept, and the State has %d", size, kept, n)
		}
	}
}

// The largest State that may be saved is well below what NATS takes, 1 MiB.
func TestLargestState(t *testing.T) {
	s := newState(Settings{Segment: time.Second, Window: MaxWindowSegments * time.Second}, TS)
	s.First = 1 << 40
	for i := range MaxWindowSegments + 2*RunLength {
		name := s.AlternativeName(s.First+uint64(i), [4]byte{1, 2, 3, 4})
		s.Entries = append(s.Entries, Entry{DurationMS: 12_000, Bytes: 64 << 20, WallMS: 1e15, Flags: Gap | Discontinuity, URI: name})
	}
	for range 2 {
		s.Tracks = append(s.Tracks, track{Codec: media.CodecAVC, Record: make([]byte, maxConfig), Sets: make([]byte, maxConfig)})
	}
	for range keptSounds {
		s.Pauses.Kept = append(s.Pauses.Kept, keptSound{1 << 50, make([]byte, keptFrame/keptSounds)})
	}
	if n := len(s.Encode()); n > 128<<10 {
		t.Errorf("a State has %d bytes, want 128 KiB at most", n)
	}
}

// What was held until the tracks were known may need pictures again in its
// middle, where nobody can be asked for them: nothing of it is lost.
func TestOpeningGoesOnWithoutPictures(t *testing.T) {
	s := synthetic.New(6)
	s.GOP, s.FPS, s.PictureLen = 0.5, 10, 60
	var tags []flv.Tag
	want := 0
	for _, tag := range s.Tags() {
		header := len(tag.Data) > 1 && tag.Data[1] == 0
		switch {
		case tag.Type == flv.TagAudio && !header: // promised, and never there
			continue
		case tag.Type == flv.TagVideo && !header && tag.Timestamp >= 2000 && tag.Timestamp < 4200: // the hole ends in mid-group
			continue
		case tag.Type == flv.TagVideo && !header:
			want++
		}
		tags = append(tags, tag)
	}
	rec := new(synthetic.Log)
	rec.Session(t, tags, framelog.End|framelog.Final)
	out := cutAll(t, newCutter(t, Settings{Segment: 500 * time.Millisecond, Window: 5 * time.Second}), rec.Batches)
	if got, _, _ := content(t, out.bodies); got != want {
		t.Errorf("%d of %d pictures are in segments", got, want)
	}
}
