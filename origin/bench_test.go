package origin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"weir/media/object"
	"weir/storage"
)

// What a viewer's request costs over a connection that is kept: a live playlist
// and a segment, from a directory. The client is as cheap as can be, and in it.
func BenchmarkRequest(b *testing.B) {
	objects, err := storage.NewDirectory(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string][]byte{"live.m3u8": []byte(livePlaylist), "00000042.ts": make([]byte, 64<<10)} {
		if _, err := objects.Put(b.Context(), object.Object{Key: "live/alice/b/source/" + name, Body: body}, object.Condition{}); err != nil {
			b.Fatal(err)
		}
	}
	addr, stop := listen(b, New(Config{Objects: objects, Registerer: prometheus.NewRegistry()}), 0)
	defer stop()
	for _, name := range []string{"live.m3u8", "00000042.ts"} {
		b.Run(name, func(b *testing.B) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReaderSize(c, 64<<10)
			request := fmt.Appendf(nil, "GET /hls/live/alice/b/source/%s HTTP/1.1\r\nHost: x\r\n\r\n", name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(err, resp)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
