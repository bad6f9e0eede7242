package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/media/framelog"
	"weir/remux/flv"
	"weir/rtmp"
)

// captured is what a connection of a capture publishes, by the engine alone.
type captured struct {
	stream string
	tags   []flv.Tag
	clean  bool
}

// understand runs a captured connection through the engine, whose own tests
// compare it with the recorder's account.
func understand(t *testing.T, capture []byte) (all []captured) {
	t.Helper()
	engine := rtmp.NewServer(rtmp.ServerConfig{})
	events, err := engine.Receive(time.Now(), capture)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		switch ev.Type {
		case rtmp.EventPublish:
			all = append(all, captured{stream: ev.App + "/" + ev.Name})
		case rtmp.EventTag:
			c := &all[len(all)-1]
			c.tags = append(c.tags, flv.Tag{Type: ev.Tag.Type, Timestamp: ev.Tag.Timestamp, Data: bytes.Clone(ev.Tag.Data)})
		case rtmp.EventUnpublish:
			all[len(all)-1].clean = true
		}
	}
	return all
}

// TestCaptures replays what real encoders sent through a socket.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("../testdata/captures/*.json")
	if err != nil {
		t.Fatal(err)
	}
	replayed := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		switch name {
		case "ffmpeg-5.1.9-rtmpt", "ffmpeg-9.0.2-rtmpe", "ffmpeg-9.0.2-rtmpe.keys", "rtmfpcpp-tcpublish-rtmfp":
			continue // HTTP, ciphertext, UDP
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var about struct{ Kind string }
		if err := json.Unmarshal(text, &about); err != nil {
			t.Fatal(err)
		}
		if about.Kind != "publish" {
			continue
		}
		connections, err := filepath.Glob("../testdata/captures/" + name + "*.c2s")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range connections {
			replayed++
			t.Run(strings.TrimSuffix(filepath.Base(c), ".c2s"), func(t *testing.T) { replay(t, c) })
		}
	}
	if replayed < 20 {
		t.Errorf("%d connections replayed: the captures are not where they were", replayed)
	}
}

func replay(t *testing.T, file string) {
	capture, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := understand(t, capture)
	s := listen(t, Config{Batch: time.Millisecond})
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
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if len(s.log.sessions) != len(want) {
		t.Fatalf("%d sessions, want %d", len(s.log.sessions), len(want))
	}
	for i, x := range s.log.sessions {
		if x.stream.String() != want[i].stream || x.clean != want[i].clean {
			t.Errorf("session %d of %v, clean %v; want %s, %v", i, x.stream, x.clean, want[i].stream, want[i].clean)
		}
		if len(want[i].tags) > 0 {
			checkBatches(t, BatcherConfig{}, want[i].tags, x.pointers())
		}
	}
}

// command runs an encoder to its end.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// readFLV returns the tags of a file.
func readFLV(t *testing.T, name string) (tags []flv.Tag) {
	t.Helper()
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return parseRun(t, file[flv.FileHeader:])
}

// media are the tags of pictures and sound, with their sequence headers.
func mediaTags(tags []flv.Tag) (some []flv.Tag) {
	for _, t := range tags {
		kind, _ := classify(t)
		if kind != otherTag && t.Type != flv.TagScript {
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
			x := s.log.ended(t, 0)
			if !x.clean {
				t.Error("ffmpeg unpublishes at the end of its input")
			}
			tags := parseRun(t, x.run())
			checkBatches(t, BatcherConfig{}, tags, x.pointers())
			got, want := run(mediaTags(tags)...), run(mediaTags(readFLV(t, file))...)
			if !bytes.Equal(got, want) {
				t.Errorf("the log holds %d bytes of media, want the file's %d, byte for byte", len(got), len(want))
			}
			if n, least := keys(x), tt.spec.Seconds/2; n < least {
				t.Errorf("%d key batches, want one for each GOP or second of audio: at least %d", n, least)
			}
		})
	}
}

func keys(x *recordedSession) (n int) {
	for _, b := range x.batches {
		if b.Flags.Has(framelog.Key) {
			n++
		}
	}
	return n
}

// TestGStreamer lets rtmp2sink publish.
func TestGStreamer(t *testing.T) {
	s := listen(t, Config{})
	pipeline := fmt.Sprintf(`flvmux streamable=true name=mux ! rtmp2sink sync=false location=rtmp://%s/live/alice
		videotestsrc num-buffers=150 ! video/x-raw,width=320,height=180,framerate=30/1 ! x264enc key-int-max=30 speed-preset=ultrafast ! h264parse ! mux.
		audiotestsrc num-buffers=215 samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux.`, s.addr)
	command(t, "gst-launch-1.0", append([]string{"-q"}, strings.Fields(pipeline)...)...)
	x := s.log.ended(t, 0)
	tags := parseRun(t, x.run())
	checkBatches(t, BatcherConfig{}, tags, x.pointers())
	counts := map[tagKind]int{}
	for _, tag := range tags {
		kind, _ := classify(tag)
		counts[kind]++
	}
	if pictures := counts[picture] + counts[keyPicture]; pictures != 150 || counts[soundTag] < 214 {
		t.Errorf("%d pictures and %d audio frames, want 150 and those of 215 buffers", pictures, counts[soundTag])
	}
	if counts[keyPicture] < 5 || keys(x) < 5 {
		t.Errorf("%d key frames and %d key batches, want 5", counts[keyPicture], keys(x))
	}
}
