//go:build unix

package publish

import (
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// Every frame that an encoder sends is in the segments, once, unchanged and
// at its time; every segment is what players need.
func TestFramesArrive(t *testing.T) {
	t.Parallel()
	full := testmedia.Spec{Seconds: 20, Video: true, Audio: true, BFrames: 2}
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
		{"ffmpeg for a minute in real time", with(func(s *testmedia.Spec) { s.Seconds = 60 }), func(t *testing.T, s testmedia.Spec, url string) string {
			in := testmedia.MP4(t, s)
			testweir.FFmpeg(t, 1, in, url)
			return in
		}, nil},
		{"gstreamer", with(func(s *testmedia.Spec) { s.Seconds = 12 }), func(t *testing.T, s testmedia.Spec, url string) string {
			return testweir.GStreamer(t, testmedia.FLV(t, s), url) // it repeats its first stamps
		}, nil},
		{"audio only", with(func(s *testmedia.Spec) { s.Video = false }), byFFmpeg, nil},
		{"video only", with(func(s *testmedia.Spec) { s.Audio = false }), byFFmpeg, nil},
		{"a GOP of 10 s", with(func(s *testmedia.Spec) { s.GOP = 300; s.Seconds = 25 }), byFFmpeg, []string{"SEG-KEYFRAMES"}},
		{"48 kHz, 25 pictures a second", with(func(s *testmedia.Spec) { s.FPS = 25; s.SampleRate = 48000 }), byFFmpeg, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := testweir.Serve(t)
			input := tt.publish(t, tt.spec, s.URL("alice"))
			prefix := s.WaitForEnd(t, "alice", 2*time.Second)
			got := testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))
			if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), got); err != nil {
				t.Error(err)
			}
			testweir.CheckSegments(t, s.Objects(prefix), tt.spec)
			testweir.Conforms(t, s.Objects(""), tt.breaks...)
			if code := s.Stop(t); code != 0 {
				t.Errorf("serve ended with exit code %d, want 0 as asked", code)
			}
		})
	}
}
