package main

import (
	"os"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/media"
)

const clip = "../../../cmd/weir/demo/clip.flv"

// TestClip holds the committed clip to what weir demo and its tests rely on.
func TestClip(t *testing.T) {
	info, err := os.Stat(clip)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 1500<<10 {
		t.Errorf("%d bytes: too much to carry in every binary", info.Size())
	}
	var video, audio []testmedia.Packet
	for _, p := range testmedia.Probe(t, clip) {
		if p.Kind == media.Video {
			video = append(video, p)
		} else {
			audio = append(audio, p)
		}
	}
	if len(video) != frames || len(audio) != audioFrames {
		t.Fatalf("%d video and %d audio frames, want %d and %d: a loop would not close", len(video), len(audio), frames, audioFrames)
	}
	for i, p := range video {
		if p.Key != (i%gop == 0) {
			t.Errorf("frame %d, key %t: want a key frame every %d", i, p.Key, gop)
		}
	}
	// One frame after the last is where the next round begins.
	for _, track := range [][]testmedia.Packet{video, audio} {
		step := seconds * time.Second / time.Duration(len(track))
		length := track[len(track)-1].DTS + step - track[0].DTS
		if (length - seconds*time.Second).Abs() > time.Millisecond {
			t.Errorf("a %s track of %v, want %d s within the rounding of a millisecond", track[0].Kind, length, seconds)
		}
	}
	for i, n := range testmedia.Counters(t, clip) {
		if n != i {
			t.Fatalf("picture %d says %d", i, n)
		}
	}
}
