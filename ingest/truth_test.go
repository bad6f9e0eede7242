package ingest

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"weir/media/h264"
	"weir/remux/flv"
)

// The parameter sets of 1280x720 and of 640x360, as x264 writes them, and
// slices whose headers begin as they should (ITU-T H.264, 7.3.3).
var (
	sets720 = [][]byte{unhex("674d401feca02802dd8088000003000800000301e078c18cb0"), unhex("68ce0fc8")}
	sets360 = [][]byte{unhex("6764001eacd940a02ff9610000030001000003003c8f162d96"), unhex("68ebe3cb22c0")}
	idr     = []byte{0x65, 0x88, 0x84, 0x21, 0xa0}
	idrMore = []byte{0x65, 0x42, 0x22, 0x10, 0xa0} // first_mb_in_slice is not 0
	inters  = []byte{0x41, 0x9b, 0x21, 0x6c, 0x41}
)

func record(sets [][]byte, lengthSize int) []byte {
	c := h264.Config{Profile: sets[0][1], Constraints: sets[0][2], Level: sets[0][3], LengthSize: lengthSize, SPS: sets[:1], PPS: sets[1:]}
	return c.Append(nil)
}

// coded is a message with coded pictures, flagged as a key frame or not.
func coded(ts uint32, flag byte, units ...[]byte) flv.Tag {
	body := []byte{flag, 1, 0, 0, 0}
	for _, nal := range units {
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(nal))), nal...)
	}
	return video(ts, body...)
}

// Key batches begin with the pictures that decoding can start with, whatever
// FLV's flag says.
func TestKeyBatchesByTheBitstream(t *testing.T) {
	const key, no = 0x17, 0x27
	first := []flv.Tag{avcConfig(0, record(sets720, 4)...), coded(0, no, idr), coded(40, no, inters)}
	for _, tt := range []struct {
		name, why string
		tags      []flv.Tag
		want      []string
	}{
		{"no picture is flagged", "IDR pictures begin batches all the same",
			[]flv.Tag{coded(80, no, idr), coded(120, no, inters)}, []string{"bk V0 K0 P40", "k [ V80 ] K80 P120"}},
		{"every picture is flagged", "a flag makes no key frame of a picture that needs others",
			[]flv.Tag{coded(80, key, inters), coded(120, key, idr)}, []string{"bk V0 K0 P40 P80", "k [ V120 ] K120"}},
		{"a message for each slice", "a picture begins one batch, not several",
			[]flv.Tag{coded(80, key, idr), coded(80, key, idrMore), coded(80, key, idrMore), coded(120, no, inters)}, []string{"bk V0 K0 P40", "k [ V80 ] K80 P80 P80 P120"}},
		{"a message for each unit", "the batch begins with what leads up to the picture",
			[]flv.Tag{coded(80, key, sets720[0]), coded(80, key, sets720[1]), coded(80, key, idr), coded(120, no, inters)}, []string{"bk V0 K0 P40", "k [ V80 ] L80 L80 K80 P120"}},
		{"SEI by itself", "it belongs to no picture that is known yet",
			[]flv.Tag{coded(80, no, []byte{0x06, 0x05, 1, 7, 0x80}), coded(80, no, inters)}, []string{"bk V0 K0 P40 x80 P80"}},
		{"start codes in place of lengths", "framing hides no key frame",
			[]flv.Tag{video(80, append([]byte{no, 1, 0, 0, 0, 0, 0, 0, 1}, idr...)...)}, []string{"bk V0 K0 P40", "k [ V80 ] K80"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBatcher(BatcherConfig{})
			for _, tag := range slices.Concat(first, tt.tags) {
				if err := b.Add(epoch, tag); err != nil {
					t.Fatal(err)
				}
			}
			b.Flush()
			var got []string
			for x := b.Take(epoch); x != nil; x = b.Take(epoch) {
				got = append(got, describe(t, x))
				if x.Wall.IsZero() {
					t.Error("a key batch without the wall clock of its arrival")
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("batches %q, want %q: %s", got, tt.want, tt.why)
			}
		})
	}
}

// A reader that joins has only the prelude: it says what is in force, in the
// record or in band since, or in band where no record came.
func TestPreludeHasSetsThatCameInBand(t *testing.T) {
	for name, header := range map[string][]flv.Tag{
		"another size":         {avcConfig(0, record(sets720, 4)...)},
		"no sequence header":   nil,
		"lengths of two bytes": {avcConfig(0, record(sets720, 2)...)},
	} {
		b := NewBatcher(BatcherConfig{})
		frame := func(ts uint32, units ...[]byte) flv.Tag {
			tag := coded(ts, 0x17, units...)
			if name == "lengths of two bytes" {
				tag.Data = tag.Data[:5]
				for _, nal := range units {
					tag.Data = append(binary.BigEndian.AppendUint16(tag.Data, uint16(len(nal))), nal...)
				}
			}
			return tag
		}
		for _, tag := range append(header, frame(0, idr), frame(1000, sets360[0], sets360[1], idr), frame(2000, idr)) {
			if err := b.Add(epoch, tag); err != nil {
				t.Fatal(err)
			}
		}
		b.Flush()
		n := 0
		for x := b.Take(epoch); x != nil; x = b.Take(epoch) {
			if n++; n < 3 { // the first and the second: the headers were sent with them
				continue
			}
			tag, _, err := flv.NextTag(x.Tags)
			if err != nil || x.Prelude == 0 {
				t.Fatalf("%s: a key batch without a prelude: %v", name, err)
			}
			c, err := h264.ParseConfig(tag.Data[5:])
			if err != nil || len(c.SPS) != 1 || !slices.Equal(c.SPS[0], sets360[0]) || !slices.Equal(c.PPS[0], sets360[1]) {
				t.Errorf("%s: the prelude says %+v, %v; want the sets that came in band", name, c, err)
			}
		}
		if n < 3 {
			t.Errorf("%s: %d batches, want a key batch for each picture", name, n)
		}
	}
}

// Sets that say nothing new cost nothing: some encoders send them with every
// key frame.
func TestSetsAgainAllocateNothing(t *testing.T) {
	r := record(sets720, 4)
	p := coded(0, 0x17, sets720[0], sets720[1], idr).Data[5:]
	if n := testing.AllocsPerRun(100, func() {
		if got := h264.InBand(r, p, 4); &got[0] != &r[0] {
			t.Fatal("a record that holds them is another one")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}
