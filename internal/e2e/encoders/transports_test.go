//go:build unix

package encoders

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/testcert"
	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// gstreamer publishes an FLV file through one of GStreamer's sinks: rtmp2sink
// is its own, rtmpsink is librtmp. It returns what its muxer made of the file.
func gstreamer(t *testing.T, sink, file, url string) (sent string) {
	t.Helper()
	if sink == "rtmpsink" {
		url += " live=1"
	}
	to := []string{sink, "location=" + url}
	if sink == "rtmp2sink" && strings.HasPrefix(url, "rtmps:") {
		to = append(to, "tls-validation-flags=0") // nobody vouches for the test's certificate
	}
	sent = filepath.Join(t.TempDir(), "sent.flv")
	testweir.Tool(t, "gst-launch-1.0", slices.Concat([]string{"-q", "filesrc", "location=" + file, "!", "flvdemux", "name=in",
		"flvmux", "streamable=true", "name=out", "!", "tee", "name=both", "!", "queue", "!"}, to, []string{
		"both.", "!", "queue", "!", "filesink", "location=" + sent,
		"in.video", "!", "h264parse", "!", "video/x-h264,stream-format=avc,alignment=au", "!", "queue", "!", "out.",
		"in.audio", "!", "aacparse", "!", "queue", "!", "out."})...)
	return sent
}

// TestTransports: every encoder arrives over every transport that it has, and
// loses no frame on the way.
func TestTransports(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	testcert.Write(t, cert, key, 1, "localhost")
	tunnel, secure, rtmps := testweir.FreeAddress(t), testweir.FreeAddress(t), testweir.FreeAddress(t)
	s := testweir.Serve(t, "--rtmpt", tunnel, "--rtmpts", secure, "--rtmps", rtmps, "--tls-cert", cert, "--tls-key", key)
	spec := testweir.Small(6)
	mp4, flv := testmedia.MP4(t, spec), testmedia.FLV(t, spec)
	byFFmpeg := func(t *testing.T, url string) string {
		testweir.FFmpeg(t, 2, mp4, url)
		return mp4
	}
	// In a tunnel ffmpeg sends ten packets at a time, and forgets at its end what
	// it has not sent: one at a time loses nothing.
	byFFmpegAtOnce := func(t *testing.T, url string) string {
		testweir.Tool(t, "ffmpeg", "-v", "error", "-nostdin", "-readrate", "2", "-i", mp4,
			"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", "-rtmp_flush_interval", "1", url)
		return mp4
	}
	by := func(sink string) func(*testing.T, string) string {
		return func(t *testing.T, url string) string { return gstreamer(t, sink, flv, url) }
	}
	byPush := func(t *testing.T, url string) string {
		if code := testweir.Start(t, "push", flv, url).Wait(); code != 0 {
			t.Errorf("push ended with %d", code)
		}
		return flv
	}
	for _, tt := range []struct {
		encoder, transport, address string
		publish                     func(t *testing.T, url string) (input string)
	}{
		{"ffmpeg", "rtmp", s.RTMP, byFFmpeg},
		{"ffmpeg", "rtmpt", tunnel, byFFmpegAtOnce},
		{"ffmpeg", "rtmpts", secure, byFFmpegAtOnce},
		{"ffmpeg", "rtmps", rtmps, byFFmpeg},
		{"rtmp2sink", "rtmps", rtmps, by("rtmp2sink")},
		{"librtmp", "rtmps", rtmps, by("rtmpsink")},
		{"rtmp2sink", "rtmp", s.RTMP, by("rtmp2sink")},
		{"librtmp", "rtmp", s.RTMP, by("rtmpsink")},
		{"librtmp", "rtmpe", s.RTMP, by("rtmpsink")},
		{"librtmp", "rtmpt", tunnel, by("rtmpsink")},
		{"librtmp", "rtmpte", tunnel, by("rtmpsink")},
		{"weir push", "rtmpe", s.RTMP, byPush},
	} {
		name := strings.ReplaceAll(tt.encoder, " ", "_") + "_" + tt.transport
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input := tt.publish(t, fmt.Sprintf("%s://%s/live/%s", tt.transport, tt.address, name))
			prefix := s.WaitForEnd(t, name, 10*time.Second)
			got := testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))
			if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), got); err != nil {
				t.Error(err)
			}
			began := ""
			for line := range strings.Lines(s.Output.String()) {
				if strings.Contains(line, "publish began") && strings.Contains(line, "live/"+name+`"`) {
					began = line
				}
			}
			if want := fmt.Sprintf(`"transport":%q`, tt.transport); !strings.Contains(began, want) {
				t.Errorf("the line about its begin does not say %s: %s", want, began)
			}
		})
	}
}

// TestPlayerIsTold: a player hears at once that there is nothing to play, over
// every transport, in words that it prints.
func TestPlayerIsTold(t *testing.T) {
	t.Parallel()
	tunnel := testweir.FreeAddress(t)
	s := testweir.Serve(t, "--rtmpt", tunnel)
	for transport, address := range map[string]string{"rtmp": s.RTMP, "rtmpe": s.RTMP, "rtmpt": tunnel, "rtmpte": tunnel} {
		p := testweir.Spawn(t, nil, "rtmpdump", "-r", transport+"://"+address+"/live/alice", "-o", os.DevNull)
		p.Wait()
		if !strings.Contains(p.Output.String(), "NetStream.Play.StreamNotFound") {
			t.Errorf("%s: rtmpdump said\n%s", transport, p.Output.String())
		}
	}
	p := testweir.Spawn(t, nil, "ffmpeg", "-v", "error", "-nostdin", "-i", s.URL("alice"), "-f", "null", "-")
	p.Wait()
	if !strings.Contains(p.Output.String(), "open the HLS playlist") {
		t.Errorf("ffmpeg said\n%s", p.Output.String())
	}
}
