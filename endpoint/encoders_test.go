package endpoint

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"weir/internal/captures"
	"weir/internal/external"
	"weir/internal/testmedia"
	"weir/remux/flv"
)

// TestCaptures replays what real encoders sent through a socket.
func TestCaptures(t *testing.T) { captures.Each(t, replay) }

func replay(t *testing.T, capture []byte) {
	want := captures.Understand(t, bytes.Clone(capture))
	t.Run("socket", func(t *testing.T) {
		s := listen(t, Config{})
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		go func() {
			_, _ = nc.Write(capture) // what is missing is missed below
			_ = nc.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, nc); err != nil {
			t.Fatal(err)
		}
		compare(t, s, want)
	})
	t.Run("tunnel", func(t *testing.T) {
		s := listenTunnel(t, Config{})
		c := dialTunnel(t, s.addr)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for p := capture; len(p) > 0; {
			n := min(len(p), 5000)
			if _, err := c.Write(p[:n]); err != nil {
				t.Fatal(err)
			}
			p = p[n:]
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i].Clean = true // who closes a tunnel means it
		}
		compare(t, s, want)
	})
}

// compare stops the station and compares its sessions with what the engine says
// of the same bytes.
func compare(t *testing.T, s *station, want []captures.Publish) {
	t.Helper()
	s.to.wait(t, "all sessions end", func(x []*recordedSession) bool {
		return len(x) == len(want) && !slices.ContainsFunc(x, func(x *recordedSession) bool { return !x.ended })
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if len(s.to.sessions) != len(want) {
		t.Fatalf("%d sessions, want %d", len(s.to.sessions), len(want))
	}
	for i, x := range s.to.sessions {
		if x.stream.String() != want[i].Stream || x.why.Clean != want[i].Clean {
			t.Errorf("session %d of %v, %+v; want %s, %v", i, x.stream, x.why, want[i].Stream, want[i].Clean)
		}
		if !bytes.Equal(run(x.tags...), run(want[i].Tags...)) {
			t.Errorf("session %d: %d tags, want the engine's %d", i, len(x.tags), len(want[i].Tags))
		}
	}
}

// command runs an encoder to its end.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	external.Need(t, name)
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// mediaTags are the tags of pictures and sound, with their sequence headers.
func mediaTags(tags []flv.Tag) (some []flv.Tag) {
	for _, t := range tags {
		switch t.Type {
		case flv.TagVideo:
			if v, err := flv.ParseVideo(t.Data); err == nil && (v.Packet == flv.SequenceHeader || v.Packet == flv.CodedFrames) {
				some = append(some, t)
			}
		case flv.TagAudio:
			some = append(some, t)
		}
	}
	return some
}

// TestFFmpeg lets ffmpeg publish files as they are.
func TestFFmpeg(t *testing.T) {
	tests := []struct {
		name string
		spec testmedia.Spec
	}{
		{"video and audio", testmedia.Spec{Seconds: 8, Video: true, Audio: true, Width: 320, Height: 180, BFrames: 2}},
		{"video only", testmedia.Spec{Seconds: 4, Video: true, Width: 320, Height: 180, FPS: 25}},
		{"audio only", testmedia.Spec{Seconds: 5, Audio: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := testmedia.FLV(t, tt.spec)
			s := listen(t, Config{})
			command(t, "ffmpeg", "-v", "error", "-i", file, "-c", "copy", "-f", "flv", "rtmp://"+s.addr+"/live/alice")
			x := s.to.ended(t, 0)
			if !x.why.Clean {
				t.Error("ffmpeg unpublishes at the end of its input")
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var tags []flv.Tag
			for tag, err := range flv.Tags(data[flv.FileHeader:]) {
				if err != nil {
					t.Fatal(err)
				}
				tags = append(tags, tag)
			}
			got, want := run(mediaTags(x.tags)...), run(mediaTags(tags)...)
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes of media arrived, want the file's %d, byte for byte", len(got), len(want))
			}
		})
	}
}

// TestGStreamer lets rtmp2sink publish.
func TestGStreamer(t *testing.T) {
	s := listen(t, Config{})
	pipeline := fmt.Sprintf(`flvmux streamable=true name=mux ! rtmp2sink sync=false location=rtmp://%s/live/alice
		videotestsrc num-buffers=150 ! video/x-raw,width=320,height=180,framerate=30/1 ! x264enc key-int-max=30 speed-preset=ultrafast ! h264parse ! mux.
		audiotestsrc num-buffers=215 samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux.`, s.addr)
	command(t, "gst-launch-1.0", append([]string{"-q"}, strings.Fields(pipeline)...)...)
	pictures, keys, sounds := 0, 0, 0
	for _, tag := range s.to.ended(t, 0).tags {
		if v, err := flv.ParseVideo(tag.Data); tag.Type == flv.TagVideo && err == nil && v.Packet == flv.CodedFrames {
			pictures++
			if v.Key() {
				keys++
			}
		}
		if a, err := flv.ParseAudio(tag.Data); tag.Type == flv.TagAudio && err == nil && a.Packet == flv.CodedFrames {
			sounds++
		}
	}
	if pictures != 150 || keys < 5 || sounds < 214 {
		t.Errorf("%d pictures, %d of them key frames, and %d audio frames, want 150, 5 and those of 215 buffers", pictures, keys, sounds)
	}
}
