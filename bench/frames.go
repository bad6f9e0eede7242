package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"weir/media/aac"
	"weir/media/h264"
	"weir/remux/mpegts"
)

// tally counts the frames of one stream that came out.
type tally struct {
	Checked int `json:"checked"` // frames that were found
	Lost    int `json:"lost"`    // frames that lie between two that were found, and were not
	Doubled int `json:"doubled"` // frames that came again, or out of order
	Gone    int `json:"gone"`    // segments that had been deleted before they were read
}

// follower follows the numbers of one track's frames through a loop of n.
type follower struct {
	n, next int
	started bool
}

// take notes a frame.
func (f *follower) take(number int, t *tally) {
	t.Checked++
	if f.started && f.n > 0 {
		switch skipped := (number - f.next + f.n) % f.n; {
		case skipped == 0:
		case skipped < f.n/2:
			t.Lost += skipped
		default:
			t.Doubled++
			return
		}
	}
	f.started, f.next = true, number+1
}

// count reads the segments of a stream, in order, and counts its frames.
func (w where) count(ctx context.Context, c *Clip, segments []string, t *tally) error {
	video, audio := follower{n: c.Video}, follower{n: c.Audio}
	for _, name := range segments {
		body, err := w.read(ctx, name)
		if errors.Is(err, errAbsent) {
			t.Gone++
			video.started, audio.started = false, false
			continue
		}
		if err != nil {
			return fmt.Errorf("read segment: %w", err)
		}
		for e := range mpegts.Demux(body) {
			if e.Type != mpegts.EventPES {
				continue
			}
			switch e.PES.Type {
			case mpegts.StreamH264:
				for n := range pictureNumbers(e.PES.Data) {
					video.take(n, t)
				}
			case mpegts.StreamAAC:
				for n := range soundNumbers(e.PES.Data) {
					audio.take(n, t)
				}
			}
		}
	}
	return nil
}

// pictureNumbers are the numbers of the pictures in an access unit.
func pictureNumbers(data []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for nal := range h264.AnnexB(data) {
			if typ := h264.TypeOf(nal); typ != h264.IDR && typ != h264.Slice || len(nal) < 2 {
				continue
			}
			if n, ok := markerOf(nal[2:]); ok && !yield(n) {
				return
			}
		}
	}
}

// soundNumbers are the numbers of the frames in a run of ADTS frames.
func soundNumbers(data []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for len(data) > 0 {
			f, err := aac.ParseADTS(data)
			if err != nil || f.FrameSize > len(data) {
				return
			}
			if n, ok := markerOf(data[min(f.HeaderSize+1, f.FrameSize):f.FrameSize]); ok && !yield(n) {
				return
			}
			data = data[f.FrameSize:]
		}
	}
}
