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
