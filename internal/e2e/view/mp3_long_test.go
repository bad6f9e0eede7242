//go:build unix && soak

package view

import (
	"path/filepath"
	"testing"
	"time"

	"weir/internal/players"
	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// TestSoakMP3Plays: what hls.js makes of MP3, of both specifications, beside
// pictures and alone.
func TestSoakMP3Plays(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t)
	in := testmedia.MP4(t, testweir.Small(8))
	for name, args := range map[string][]string{
		"mpeg1": {"-c:v", "copy", "-ar", "44100"},
		"mpeg2": {"-c:v", "copy", "-ar", "22050", "-ac", "1"},
		"alone": {"-vn", "-ar", "48000"},
	} {
		file := filepath.Join(t.TempDir(), "in.flv")
		testweir.Tool(t, "ffmpeg", append(append([]string{"-v", "error", "-nostdin", "-i", in}, args...),
			"-c:a", "libmp3lame", "-b:a", "64k", "-flvflags", "no_duration_filesize", file)...)
		testweir.FFmpeg(t, 4, file, s.URL(name))
		s.WaitForEnd(t, name, 5*time.Second)
		for _, r := range players.Play(t, []string{players.HLSJS}, s.Object("live/"+name+"/index.m3u8"), 5*time.Second, 30*time.Second) {
			t.Logf("%s: %v", name, r)
			if !r.Ended || len(r.Fatal) > 0 || r.Sound == 0 {
				t.Errorf("%s: %v", name, r)
			}
		}
	}
}
