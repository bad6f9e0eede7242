package h264_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/media/h264"
)

// BenchmarkUnits walks an access unit of four slices, 40 kB.
func BenchmarkUnits(b *testing.B) {
	slice := append([]byte{0x41}, bytes.Repeat([]byte{0x9a}, 10_000)...)
	var au []byte
	for range 4 {
		au = append(binary.BigEndian.AppendUint32(au, uint32(len(slice))), slice...)
	}
	b.SetBytes(int64(len(au)))
	b.ReportAllocs()
	for b.Loop() {
		for nal, err := range h264.Units(au, 4) {
			if err != nil || len(nal) == 0 {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkAnnexB looks for start codes in a byte stream of 40 kB.
func BenchmarkAnnexB(b *testing.B) {
	slice := append([]byte{0, 0, 1, 0x41}, bytes.Repeat([]byte{0x9a, 0x00, 0x33}, 3_333)...)
	stream := bytes.Repeat(slice, 4)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		for nal := range h264.AnnexB(stream) {
			if len(nal) == 0 {
				b.Fatal("empty unit")
			}
		}
	}
}

func BenchmarkParseSPS(b *testing.B) {
	nal := unhex(spsCases[5].nal)
	b.SetBytes(int64(len(nal)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h264.ParseSPS(nal); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLook sorts a message of 40 kB: what ingest does with each.
func BenchmarkLook(b *testing.B) {
	c := newCoder()
	p := message(4, append([]byte{0x06, 0x05, 0xff, 0xff, 0x80}, bytes.Repeat([]byte{0x55}, 639)...), c.picture(false, typeP, 1)[0], bytes.Repeat([]byte{0x41, 0x9a}, 20_000))
	b.ReportAllocs()
	for b.Loop() {
		if g := h264.Look(p, 4); !g.Picture {
			b.Fatal("no picture")
		}
	}
}

// BenchmarkAssembler takes messages of one access unit each, 40 kB.
func BenchmarkAssembler(b *testing.B) {
	c := newCoder()
	a := newAssembler(b, c.record(4))
	nal := append(c.picture(false, typeP, 1)[0], bytes.Repeat([]byte{0x9a, 0x31, 0x77, 0x00, 0x44}, 8_000)...)
	p := message(4, nal)
	var parts []h264.Part
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		a.Begin()
		parts, _ = a.Add(parts[:0], p)
	}
	if len(parts) != 1 {
		b.Fatal("no access unit")
	}
}
