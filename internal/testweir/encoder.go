//go:build unix

package testweir

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/remux/flv"
	"weir/rtmp"
)

// Small is media that costs little to send and to package: a key frame, and
// so a segment, each second.
func Small(seconds int) testmedia.Spec {
	return testmedia.Spec{Seconds: seconds, Video: true, Audio: true, Width: 320, Height: 180, GOP: 30, BFrames: 2}
}

// ShortShow is cheap to send many times, and wide enough to look at.
func ShortShow(seconds int) testmedia.Spec {
	return testmedia.Spec{Seconds: seconds, Video: true, Audio: true, BFrames: 2, Width: 640, Height: 360, GOP: 30}
}

// TwoFiles are two files with no frame in common.
func TwoFiles(t testing.TB, seconds int) (first, second string) {
	t.Helper()
	a, b := Small(seconds), Small(8)
	b.Bitrate, b.SampleRate = 400_000, 44100
	b.GOP, b.BFrames = 15, 1
	return testmedia.MP4(t, a), testmedia.MP4(t, b)
}

// Publish starts ffmpeg, which publishes a file in real time.
func Publish(t testing.TB, file, url string) *Process {
	t.Helper()
	return Spawn(t, nil, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", file,
		"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url)
}

// FFmpeg publishes a file, speed times as fast as real time. Faster than the
// server reads would be no test of it: ffmpeg hangs up with our
// acknowledgements unread, and TCP then throws away what it has yet to send.
func FFmpeg(t testing.TB, speed int, file, url string) {
	t.Helper()
	Tool(t, "ffmpeg", "-v", "error", "-nostdin", "-readrate", fmt.Sprint(speed), "-i", file,
		"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url)
}

// GStreamer publishes an FLV file in real time through rtmp2sink, and returns
// the file of what its muxer made of it: the timestamps are GStreamer's own.
func GStreamer(t testing.TB, file, url string) (sent string) {
	t.Helper()
	sent = filepath.Join(t.TempDir(), "sent.flv")
	Tool(t, "gst-launch-1.0", "-q", "filesrc", "location="+file, "!", "flvdemux", "name=in",
		"flvmux", "streamable=true", "name=out", "!", "tee", "name=both", "!", "queue", "!", "rtmp2sink", "location="+url,
		"both.", "!", "queue", "!", "filesink", "location="+sent,
		"in.video", "!", "h264parse", "!", "video/x-h264,stream-format=avc,alignment=au", "!", "queue", "!", "out.",
		"in.audio", "!", "aacparse", "!", "queue", "!", "out.")
	return sent
}

// Show is a file, and where it is published.
type Show struct{ File, URL string }

// PublishLoop publishes a file in real time, and for as often as that fails
// the second, as a user's loop in the shell would do it.
func PublishLoop(t testing.TB, first, second Show) *Process {
	t.Helper()
	return Spawn(t, nil, "sh", "-c", fmt.Sprintf(
		"f=%q u=%q; until ffmpeg -v error -nostdin -re -i $f -c copy -f flv -flvflags no_duration_filesize $u; do f=%q u=%q; sleep 0.1; done",
		first.File, first.URL, second.File, second.URL))
}

// Wiretap hears what encoders send, as the server does to which they send it.
type Wiretap struct {
	mu    sync.Mutex
	conns map[int]*heard
}

type heard struct {
	*rtmp.Server
	pictures, sounds int
	err              error
}

// NewWiretap is one that has heard nothing yet.
func NewWiretap() *Wiretap { return &Wiretap{conns: make(map[int]*heard)} }

// Hear takes what was sent on one connection.
func (w *Wiretap) Hear(conn int, sent []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.conns[conn]
	if h == nil {
		h = &heard{Server: rtmp.NewServer(rtmp.ServerConfig{})}
		w.conns[conn] = h
	}
	events, err := h.Receive(time.Now(), sent)
	if h.err == nil {
		h.err = err
	}
	for _, ev := range events {
		switch ev.Type {
		case rtmp.EventPublish:
			h.Accept(ev.StreamID)
		case rtmp.EventTag:
			h.note(ev.Tag)
		}
	}
	h.Output() // what the real server says
}

// note counts a tag that holds a frame.
func (h *heard) note(tag flv.Tag) {
	switch tag.Type {
	case flv.TagVideo:
		if v, err := flv.ParseVideo(tag.Data); err == nil && v.Packet == flv.CodedFrames {
			h.pictures++
		}
	case flv.TagAudio:
		if a, err := flv.ParseAudio(tag.Data); err == nil && a.Packet == flv.CodedFrames {
			h.sounds++
		}
	}
}

// Frames tells how many were sent on one connection.
func (w *Wiretap) Frames(t testing.TB, conn int) (pictures, sounds int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.conns[conn]
	if h == nil || h.err != nil {
		t.Fatalf("connection %d was not understood: %+v", conn, h)
	}
	return h.pictures, h.sounds
}
