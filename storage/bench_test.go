package storage_test

import (
	"fmt"
	"net/http"
	"testing"

	"weir/media/object"
	"weir/storage"
)

// A segment of 4 s at 3 Mbit/s.
const benchSize = 1_500_000

func benchmarkPut(b *testing.B, s storage.Store) {
	b.Helper()
	body := noise(benchSize)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key := fmt.Sprintf("live/a/%08d.ts", i%16)
		if _, err := s.Put(b.Context(), object.Object{Key: key, Body: body, ContentType: "video/mp2t"}, always); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemoryPut(b *testing.B) { benchmarkPut(b, storage.NewMemory()) }

func BenchmarkDirectoryPut(b *testing.B) {
	d, err := storage.NewDirectory(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	benchmarkPut(b, d)
}

// The server's half is in the same process: its reading of the body is in the
// figures, too.
func BenchmarkS3Put(b *testing.B) {
	for _, parameters := range []string{"", "&checksum=false", "&sign-payload=true"} {
		b.Run("with"+parameters, func(b *testing.B) {
			var last http.Request
			benchmarkPut(b, openS3(b, "s3://bucket?endpoint="+sink(b, &last).URL+parameters))
		})
	}
}

func BenchmarkS3PutPlaylist(b *testing.B) {
	var last http.Request
	s := openS3(b, "s3://bucket?endpoint="+sink(b, &last).URL)
	body := noise(600)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Put(b.Context(), object.Object{Key: "live/a/live.m3u8", Body: body}, matches(`"x"`)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDirectoryStat(b *testing.B) {
	d, err := storage.NewDirectory(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := d.Put(b.Context(), object.Object{Key: "live/alice/b/source/1.ts", Body: noise(benchSize)}, always); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Stat(b.Context(), "live/alice/b/source/1.ts"); err != nil {
			b.Fatal(err)
		}
	}
}
