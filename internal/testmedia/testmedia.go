// Package testmedia makes real media for tests, by real ffmpeg, and reads back
// what became of it: packets with their timestamps and hashes, decoded
// pictures, and the frame counter that is burnt into each of them.
//
// Only tests and generators import it. It needs ffmpeg and ffprobe 5.1 or
// later; a test that calls it where they are missing fails.
//
// On two cores one second of the default 1280x720 test card takes about 0.1 s
// to draw and encode, and about 170 kB. A file is made once per checkout: it
// stays in .cache/testmedia, which make clean removes.
package testmedia

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/internal/external"
)

// Spec says what a file shall hold. Zero fields have the default that is
// named beside them.
type Spec struct {
	// Seconds is the length: of video exactly, of audio up to one AAC frame
	// more.
	Seconds int
	// Video asks for H.264 High, 4:2:0, CABAC, 8x8 transform; closed GOPs.
	Video bool
	// Audio asks for AAC-LC, stereo, 128 kbit/s: a gliding tone, so that no
	// two frames are alike.
	Audio bool

	Width, Height int // pixels, even; 1280x720
	FPS           int // frames a second; 30. At 25 every timestamp is a whole millisecond
	GOP           int // frames from one IDR picture to the next; two seconds
	BFrames       int // B-frames between two others, so DTS != PTS where above 0; 0
	Bitrate       int // of the video, bit/s; 0.09 bits a pixel
	SampleRate    int // of the audio, Hz; 44100
}

// version is part of every cached file's name: raised when what a Spec means
// changes.
const version = 1

// maxSeconds bounds a file; a test that wants more should say why.
const maxSeconds = 600

// MP4 makes the file as MP4 and returns its path. The file is shared: do not
// write to it.
func MP4(t testing.TB, s Spec) string {
	t.Helper()
	s, err := s.complete()
	if err != nil {
		t.Fatal(err)
	}
	return cached(t, s, "mp4", s.encode)
}

// FLV is MP4 in the other container: the same frames, their timestamps rounded
// to milliseconds.
func FLV(t testing.TB, s Spec) string {
	t.Helper()
	s, err := s.complete()
	if err != nil {
		t.Fatal(err)
	}
	mp4 := MP4(t, s)
	return cached(t, s, "flv", func(name string) error {
		return Encode([]string{"-v", "error", "-i", mp4, "-c", "copy", "-bitexact", name}, 0, nil)
	})
}

// cached returns the path of the file that write makes of s.
func cached(t testing.TB, s Spec, format string, write func(name string) error) string {
	t.Helper()
	external.Need(t, "ffmpeg")
	dir, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %+v", version, s))
	name := filepath.Join(dir, fmt.Sprintf("%dx%d-%ds-%x.%s", s.Width, s.Height, s.Seconds, sum[:6], format))
	making, _ := underway.LoadOrStore(name, new(sync.Mutex))
	making.(*sync.Mutex).Lock()
	defer making.(*sync.Mutex).Unlock()
	if _, err := os.Stat(name); err == nil {
		return name
	}
	tmp := filepath.Join(dir, fmt.Sprintf("tmp-%d-%d.%s", os.Getpid(), time.Now().UnixNano(), format))
	defer os.Remove(tmp)
	if err := write(tmp); err != nil {
		t.Fatal(err)
	}
	// Another process may have made the file meanwhile, and x264 does not make
	// the same bytes twice: the first one stays, for whoever has begun to use it.
	if err := os.Link(tmp, name); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return name
}

// underway has a lock for each file that this process makes, or has made.
var underway sync.Map

// cacheDir is .cache/testmedia in the checkout that the test runs in.
func cacheDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find checkout: no go.mod above the working directory")
		}
		dir = up
	}
	dir = filepath.Join(dir, ".cache", "testmedia")
	return dir, os.MkdirAll(dir, 0o755)
}

// complete fills in the defaults and refuses what cannot be made.
func (s Spec) complete() (Spec, error) {
	or := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	or(&s.Width, 1280)
	or(&s.Height, 720)
	or(&s.FPS, 30)
	or(&s.GOP, 2*s.FPS)
	or(&s.Bitrate, s.Width*s.Height*s.FPS*9/100)
	or(&s.SampleRate, 44100)
	switch {
	case !s.Video && !s.Audio:
		return s, errors.New("make media: neither Video nor Audio asked for")
	case s.Seconds < 1 || s.Seconds > maxSeconds:
		return s, fmt.Errorf("make media: %d seconds, want 1 to %d", s.Seconds, maxSeconds)
	case s.Width%2 != 0 || s.Height%2 != 0 || s.Width < minWidth || s.Height < minHeight:
		return s, fmt.Errorf("make media: %dx%d pixels, want even numbers from %dx%d", s.Width, s.Height, minWidth, minHeight)
	case s.Seconds*s.FPS > maxCounter:
		return s, fmt.Errorf("make media: more frames than the counter counts, %d", maxCounter)
	}
	return s, nil
}

// encode draws and encodes the file.
func (s Spec) encode(name string) error {
	args := []string{"-v", "error", "-y"}
	if s.Video {
		args = append(args, RawVideo(s.Width, s.Height, s.FPS)...)
	}
	if s.Audio {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf(
			"aevalsrc='0.3*sin(2*PI*(220+7*t)*t)|0.3*sin(2*PI*(330+5*t)*t)':s=%d:d=%d", s.SampleRate, s.Seconds))
	}
	if s.Video {
		args = append(args, "-c:v", "libx264", "-preset", "superfast", "-profile:v", "high", "-x264-params", "b-adapt=0",
			"-g", strconv.Itoa(s.GOP), "-keyint_min", strconv.Itoa(s.GOP), "-sc_threshold", "0", "-bf", strconv.Itoa(s.BFrames),
			"-b:v", strconv.Itoa(s.Bitrate), "-maxrate", strconv.Itoa(s.Bitrate*3/2), "-bufsize", strconv.Itoa(2*s.Bitrate))
	}
	if s.Audio {
		args = append(args, "-c:a", "aac", "-b:a", "128k")
	}
	args = append(args, "-bitexact", name)
	if !s.Video {
		return Encode(args, 0, nil)
	}
	card := newCard(s.Width, s.Height, s.FPS)
	return Encode(args, s.Seconds*s.FPS, card.draw)
}

// RawVideo are the ffmpeg arguments for an input of pictures on the standard
// input, as Encode writes them.
func RawVideo(width, height, fps int) []string {
	return []string{"-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", fmt.Sprintf("%dx%d", width, height), "-r", strconv.Itoa(fps), "-i", "pipe:0"}
}

// Encode runs ffmpeg and writes frames 0 to n-1, as draw returns them, to its
// standard input.
func Encode(args []string, n int, draw func(frame int) *Picture) error {
	cmd := exec.Command("ffmpeg", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("run ffmpeg: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run ffmpeg: %w", err)
	}
	writeErr := writeFrames(in, n, draw)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run ffmpeg: %w\n%s", err, stderr.Bytes())
	}
	if writeErr != nil {
		return fmt.Errorf("write pictures to ffmpeg: %w", writeErr)
	}
	return nil
}

func writeFrames(in io.WriteCloser, n int, draw func(frame int) *Picture) error {
	w := bufio.NewWriterSize(in, 1<<20)
	for i := range n {
		if err := draw(i).write(w); err != nil {
			return errors.Join(err, in.Close())
		}
	}
	return errors.Join(w.Flush(), in.Close())
}
