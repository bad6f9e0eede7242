//go:build soak && unix

package publish

import (
	"testing"

	"weir/internal/testmedia"
)

// TestFramesArrive, for five minutes.
func TestSoakFramesArrive(t *testing.T) {
	arrives(t, testmedia.Spec{Seconds: 300, Video: true, Audio: true, BFrames: 2}, inRealTime)
}
