package api

import (
	"fmt"
	"slices"
	"time"

	"weir/media"
	"weir/media/health"
)

// Advice is what would make a stream better for its viewers.
type Advice struct {
	// Code is for programs: keyframe_interval, or dropped_ and a reason. Others
	// may come.
	Code string `json:"code"`
	// Text is for whoever runs the encoder.
	Text string `json:"text"`
	// Level is warn where viewers may notice, bad where they do; empty: it is not
	// told.
	Level health.Level `json:"level,omitempty"`
}

// Viewers are three segments behind (RFC 8216, 6.3.3), and a segment ends with
// a key frame. A tenth more than was wished is how encoders round.
const (
	segmentsBehind = 3
	tolerance      = 1.1
)

// AdviseKeyframes tells what to do about key frames that are too far apart for
// segments of the wished duration; nothing where they are not. mean is the
// duration that segments have.
func AdviseKeyframes(wished, mean time.Duration) []Advice {
	if float64(mean) <= tolerance*float64(wished) {
		return nil
	}
	return []Advice{{Code: "keyframe_interval", Text: fmt.Sprintf(
		"The encoder sends a key frame each %.1f s, so segments are that long instead of %.4g s and viewers are %.0f s later. "+
			"Set its keyframe interval to 2 s (OBS: Settings → Output → Keyframe Interval).",
		mean.Seconds(), wished.Seconds(), segmentsBehind*(mean-wished).Seconds())}}
}

// TellDrops says what of a stream reaches no viewer, and why: a sentence for
// each reason, in the order of the enumeration.
func TellDrops(d media.Drops) (all []Advice) {
	for _, reason := range media.DropReasons() {
		if n := d[reason]; n > 0 {
			all = append(all, Advice{Code: "dropped_" + reason.String(), Text: fmt.Sprintf("Left out of what viewers see: %d %s.", n, reason.Sentence())})
		}
	}
	return all
}

// Told adds what an ingest says of a stream's session: how well it is, and what
// would mend it, but for what is said of it already.
func (s *Stream) Told(r health.Report) {
	s.Health = r.Level
	s.Advice = slices.Clip(s.Advice)
	for _, f := range r.Faults {
		i := slices.IndexFunc(s.Advice, func(a Advice) bool { return a.Code == f.Code })
		if i < 0 {
			s.Advice = append(s.Advice, Advice{f.Code, f.Text + " " + f.Advice, f.Level})
		} else {
			s.Advice = slices.Clone(s.Advice)
			s.Advice[i].Level = f.Level
		}
	}
}
