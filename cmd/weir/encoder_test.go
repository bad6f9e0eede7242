//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// show is a file, and where it is published.
type show struct{ file, url string }

// publishLoop publishes a file in real time, and for as often as that fails
// the second, as a user's loop in the shell would do it.
func publishLoop(t testing.TB, first, second show) *process {
	t.Helper()
	return spawn(t, nil, "sh", "-c", fmt.Sprintf(
		"f=%q u=%q; until ffmpeg -v error -nostdin -re -i $f -c copy -f flv -flvflags no_duration_filesize $u; do f=%q u=%q; sleep 0.1; done",
		first.file, first.url, second.file, second.url))
}

// watchByCheck has weir check --watch follow a show once it is there. clean waits
// for the show's end, and wants no error to have been found.
func watchByCheck(t testing.TB, url string) (clean func()) {
	t.Helper()
	eventually(t, 10*time.Second, url+" is there", func() bool { code, _ := get(url); return code == 200 })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var report strings.Builder
	go func() {
		r, err := checkURL(ctx, url, time.Minute, nil)
		if err == nil && r.Errors() > 0 {
			err = r.WriteText(&report)
		}
		ended <- err
	}()
	var once sync.Once
	wait := func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { cancel(); once.Do(wait) })
	return func() {
		once.Do(wait)
		if report.Len() > 0 {
			t.Errorf("weir check --watch:\n%s", report.String())
		}
	}
}

// wiretap hears what encoders send, as the server does to which they send it.
type wiretap struct {
	mu    sync.Mutex
	conns map[int]*heard
}

type heard struct {
	*rtmp.Server
	pictures, sounds int
	err              error
}

func newWiretap() *wiretap { return &wiretap{conns: make(map[int]*heard)} }

// hear takes what was sent on one connection.
func (w *wiretap) hear(conn int, sent []byte) {
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

// frames tells how many were sent on one connection.
func (w *wiretap) frames(t testing.TB, conn int) (pictures, sounds int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.conns[conn]
	if h == nil || h.err != nil {
		t.Fatalf("connection %d was not understood: %+v", conn, h)
	}
	return h.pictures, h.sounds
}
