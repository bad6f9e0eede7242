//go:build unix

package publish

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// Every frame that an encoder sends is in the segments, once, unchanged and
// at its time; every segment is what players need.
func TestFramesArrive(t *testing.T) {
	t.Parallel()
	full := testmedia.Spec{Seconds: 16, Video: true, Audio: true, BFrames: 2, Width: 640, Height: 360}
	with := func(change func(*testmedia.Spec)) testmedia.Spec { s := full; change(&s); return s }
	byFFmpeg := func(t *testing.T, s testmedia.Spec, url string) string {
		in := testmedia.MP4(t, s)
		testweir.FFmpeg(t, 4, in, url)
		return in
	}
	for _, tt := range []struct {
		name    string
		spec    testmedia.Spec
		publish func(t *testing.T, s testmedia.Spec, url string) (input string)
		breaks  []string // rules of weir check
	}{
		{"ffmpeg in real time, 1280x720", with(func(s *testmedia.Spec) { s.Width, s.Height = 1280, 720 }), inRealTime, nil},
		{"gstreamer", testweir.Small(12), func(t *testing.T, s testmedia.Spec, url string) string {
			return testweir.GStreamer(t, testmedia.FLV(t, s), url) // it repeats its first stamps
		}, nil},
		{"audio only", with(func(s *testmedia.Spec) { s.Video = false }), byFFmpeg, nil},
		{"video only", with(func(s *testmedia.Spec) { s.Audio = false }), byFFmpeg, nil},
		{"a GOP of 10 s", with(func(s *testmedia.Spec) { s.GOP = 300; s.Seconds = 25 }), byFFmpeg, []string{"SEG-KEYFRAMES"}},
		{"48 kHz, 25 pictures a second", with(func(s *testmedia.Spec) { s.FPS = 25; s.SampleRate = 48000 }), byFFmpeg, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			arrives(t, tt.spec, tt.publish, tt.breaks...)
		})
	}
}

// TestMP3Arrives is that for MP3, as libmp3lame makes it.
func TestMP3Arrives(t *testing.T) {
	t.Parallel()
	spec := testweir.Small(8)
	input := filepath.Join(t.TempDir(), "in.flv")
	testweir.Tool(t, "ffmpeg", "-v", "error", "-nostdin", "-i", testmedia.MP4(t, spec), "-c:v", "copy", "-c:a", "libmp3lame", "-b:a", "96k",
		"-flvflags", "no_duration_filesize", input)
	s := testweir.Serve(t)
	testweir.FFmpeg(t, 4, input, s.URL("alice"))
	prefix := s.WaitForEnd(t, "alice", 2*time.Second)
	if err := testmedia.SameFrames(testmedia.ProbeMP3(t, input), testmedia.ProbeMP3(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Error(err)
	}
	testweir.CheckSegments(t, s.Objects(prefix), spec)
	testweir.Conforms(t, s.Objects(""))
	for _, want := range []string{`"audio":"mp4a.40.34"`, `"sample_rate":44100`} {
		if !strings.Contains(s.Output.String(), want) {
			t.Errorf("the line about its end does not say %s", want)
		}
	}
	if code, body := testweir.Get(s.Object("live/alice/index.m3u8")); code != http.StatusOK || !strings.Contains(string(body), "mp4a.40.34") {
		t.Errorf("the multivariant playlist, %d, does not declare MP3:\n%s", code, body)
	}
}

func inRealTime(t *testing.T, s testmedia.Spec, url string) (input string) {
	input = testmedia.MP4(t, s)
	testweir.FFmpeg(t, 1, input, url)
	return input
}

// arrives holds a show to what was sent. It may break some rules of weir check.
func arrives(t *testing.T, spec testmedia.Spec, publish func(t *testing.T, s testmedia.Spec, url string) (input string), breaks ...string) {
	s := testweir.Serve(t)
	input := publish(t, spec, s.URL("alice"))
	prefix := s.WaitForEnd(t, "alice", 2*time.Second)
	got := testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))
	if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), got); err != nil {
		t.Error(err)
	}
	testweir.CheckSegments(t, s.Objects(prefix), spec)
	testweir.Conforms(t, s.Objects(""), breaks...)
	if code := s.Stop(t); code != 0 {
		t.Errorf("serve ended with exit code %d, want 0 as asked", code)
	}
}
