package flv_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"weir/remux/flv"
)

// clipRun is the clip's tags, as a batch carries them.
func clipRun(b *testing.B) []byte {
	file, err := os.ReadFile(clip + ".flv")
	if err != nil {
		b.Fatal(err)
	}
	return file[flv.FileHeader:]
}

// BenchmarkTags is what a reader of the log pays to find its frames.
func BenchmarkTags(b *testing.B) {
	run := clipRun(b)
	b.SetBytes(int64(len(run)))
	b.ReportAllocs()
	for b.Loop() {
		for tag, err := range flv.Tags(run) {
			if err != nil {
				b.Fatal(err)
			}
			switch tag.Type {
			case flv.TagVideo:
				_, err = flv.ParseVideo(tag.Data)
			case flv.TagAudio:
				_, err = flv.ParseAudio(tag.Data)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkAppendTag is what ingest pays to batch them.
func BenchmarkAppendTag(b *testing.B) {
	run := clipRun(b)
	var tags []flv.Tag
	for tag, err := range flv.Tags(run) {
		if err != nil {
			b.Fatal(err)
		}
		tags = append(tags, tag)
	}
	dst := make([]byte, 0, len(run))
	b.SetBytes(int64(len(run)))
	b.ReportAllocs()
	keys := 0
	for b.Loop() {
		dst = dst[:0]
		for _, tag := range tags {
			if flv.IsKeyframe(tag) || flv.IsSequenceHeader(tag) {
				keys++
			}
			dst = flv.AppendTag(dst, tag)
		}
	}
	if keys == 0 {
		b.Fatal("no key frame in the clip")
	}
}

// BenchmarkReader is what weir push pays to read its file.
func BenchmarkReader(b *testing.B) {
	run := append([]byte(fileHeader), clipRun(b)...)
	b.SetBytes(int64(len(run)))
	b.ReportAllocs()
	for b.Loop() {
		r := flv.NewReader(bytes.NewReader(run), 0)
		for {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
