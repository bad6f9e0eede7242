package ingest

import (
	"fmt"
	"log/slog"
	"time"
)

const (
	// maxAdvance is how much media a session may send in advance of the clock.
	// An encoder that catches up after a stall stays within it.
	maxAdvance = 2 * time.Minute
	// breakCost is what a step of the timestamps, or another configuration,
	// counts as media: each begins a segment.
	breakCost = 5 * time.Second
	// stepTime is what a timestamp has to move by to be no clock that runs but
	// one that was set.
	stepTime = 10 * time.Second
)

// progress is how much media a session has sent: the further of its two tracks.
type progress struct {
	sounds, pictures trackProgress
	breaks           time.Duration
}

type trackProgress struct {
	seen bool
	last uint32
	sum  time.Duration
}

// note takes account of a frame.
func (p *progress) note(kind tagKind, timestamp uint32) {
	t := &p.pictures
	if kind == soundTag {
		t = &p.sounds
	}
	step := time.Duration(int32(timestamp-t.last)) * time.Millisecond
	switch {
	case !t.seen:
		step = 0
	case step > stepTime || step < -stepTime:
		step = breakCost
	}
	t.seen, t.last = true, timestamp
	t.sum += max(step, 0)
}

// configure takes account of a codec configuration in place of another one.
func (p *progress) configure() { p.breaks += breakCost }

func (p *progress) total() time.Duration { return max(p.sounds.sum, p.pictures.sum) + p.breaks }

// pace bounds a session's progress by the clock, and with it how many segments
// it makes in a minute, whatever its timestamps say. Beyond maxAdvance media may
// come only so many times as fast as the clock: the session then waits, and
// ends when it has had to for too long.
type pace struct {
	speed   int           // how many times as fast; 0: any
	granted time.Duration // of progress
	at      time.Time     // until when it was granted
	since   time.Time     // when it began to wait; zero: it need not
}

// holds tells whether a session that has come so far has to wait at now.
func (p *pace) holds(now time.Time, progress time.Duration) bool {
	if p.speed == 0 {
		return false
	}
	if passed := now.Sub(p.at); p.at.IsZero() || passed > 0 {
		if !p.at.IsZero() {
			p.granted = min(p.granted+min(passed, maxAdvance)*time.Duration(p.speed), progress)
		}
		p.at = now
	}
	ahead := progress - p.granted
	switch {
	case ahead < maxAdvance/2:
		p.since = time.Time{}
	case ahead >= maxAdvance && p.since.IsZero():
		p.since = now
	}
	return ahead >= maxAdvance
}

// runaway is the end of a session that has waited for its clock for too long.
func runaway(speed int, progress, took time.Duration) *Refusal {
	err := fmt.Errorf("the timestamps run ahead of the clock: %v of media in %v, where %v in advance and %d times the clock's speed are allowed "+
		"(files in real time: ffmpeg -re, weir push without --fast)", progress.Round(time.Second), took.Round(time.Second), maxAdvance, speed)
	return &Refusal{reason: "clock", level: slog.LevelWarn, code: denied, text: err.Error(), err: err}
}
