package health

import (
	"fmt"
	"math"
	"time"
)

// Level is how bad something is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // viewers may notice
	Bad  Level = "bad"  // they do
)

func (l Level) worse(than Level) bool {
	order := map[Level]int{OK: 0, Warn: 1, Bad: 2}
	return order[l] > order[than]
}

// Fault is something that is wrong, and what to do about it.
type Fault struct {
	// Code is for programs: one of Codes.
	Code  string `json:"code"`
	Level Level  `json:"level"`
	// Text says what is wrong, Advice what to do, each in a sentence.
	Text   string `json:"text"`
	Advice string `json:"advice"`
}

// Report is the health of a session.
type Report struct {
	Level  Level   `json:"level"`
	Faults []Fault `json:"faults"`
	// Figures are a number for each of the last seconds, the oldest first.
	Figures *Figures `json:"figures,omitempty"`
}

// Figures are what came, second by second.
type Figures struct {
	VideoKbit []int `json:"video_kbit"`
	AudioKbit []int `json:"audio_kbit"`
	Pictures  []int `json:"pictures"`
	// LateMs is the most that a frame came later than the clock would have it,
	// in ms.
	LateMs []int `json:"late_ms"`
}

// rule finds one fault. It returns OK where there is none.
type rule struct {
	code string
	find func(m *Monitor, now time.Time) (level Level, text, advice string)
}

// The thresholds of each rule, for Warn and for Bad.
const (
	silentWarn, silentBad = 3 * time.Second, 10 * time.Second
	gopWarn, gopBad       = 4500 * time.Millisecond, 10 * time.Second
	uploadWarn, uploadBad = 0.95, 0.8
	lateWarn, lateBad     = time.Second, 3 * time.Second
	rateWarn, rateBad     = 0.9, 0.7
	driftWarn, driftBad   = 300 * time.Millisecond, time.Second
	trackWarn, trackBad   = 2 * time.Second, 6 * time.Second
	repairWarn, repairBad = 1, 10
	configWarn, configBad = 3, 10
	// window is over how many seconds rates are measured.
	window = 15
)

var rules = []rule{
	{"silent", silent},
	{"keyframe_interval", keyframes},
	{"slow_upload", upload},
	{"jitter", jitter},
	{"frame_rate", frameRate},
	{"drift", drift},
	{"no_pictures", func(m *Monitor, _ time.Time) (Level, string, string) { return missing(m, Video) }},
	{"no_sound", func(m *Monitor, _ time.Time) (Level, string, string) { return missing(m, Audio) }},
	{"timestamps", stamps},
	{"configurations", configurations},
}

// Codes are those that faults may have.
func Codes() (all []string) {
	for _, r := range rules {
		all = append(all, r.code)
	}
	return all
}

// Report tells how the session is at now.
func (m *Monitor) Report(now time.Time) Report {
	m.at(now)
	r := Report{Level: OK, Faults: []Fault{}}
	for _, rule := range rules {
		level, text, advice := rule.find(m, now)
		if level == OK {
			continue
		}
		r.Faults = append(r.Faults, Fault{rule.code, level, text, advice})
		if level.worse(r.Level) {
			r.Level = level
		}
		if rule.code == "silent" {
			break // all else follows from that
		}
	}
	f := m.figures()
	r.Figures = &f
	return r
}

func (m *Monitor) figures() Figures {
	f := Figures{VideoKbit: []int{}, AudioKbit: []int{}, Pictures: []int{}, LateMs: []int{}} // no nulls
	n := min(m.second, History-1)
	for i := n; i >= 1; i-- {
		s := &m.ring[(m.second-i)%History]
		f.VideoKbit = append(f.VideoKbit, s.bytes[Video]/125)
		f.AudioKbit = append(f.AudioKbit, s.bytes[Audio]/125)
		f.Pictures = append(f.Pictures, s.frames[Video])
		f.LateMs = append(f.LateMs, int(s.late/time.Millisecond))
	}
	return f
}

// above grades a value of which more is worse.
func above[T int | float64 | time.Duration](v, warn, bad T) Level {
	switch {
	case v >= bad:
		return Bad
	case v >= warn:
		return Warn
	}
	return OK
}

func silent(m *Monitor, now time.Time) (Level, string, string) {
	since := m.began
	if !m.heard.IsZero() {
		since = m.heard
	}
	quiet := now.Sub(since)
	return above(quiet, silentWarn, silentBad), fmt.Sprintf("Nothing has come for %.0f s.", quiet.Seconds()),
		"See whether the encoder still streams, and whether its network is up."
}

func keyframes(m *Monitor, now time.Time) (Level, string, string) {
	const advice = "Set the encoder's keyframe interval to 2 s (OBS: Settings → Output → Keyframe Interval)."
	switch wait := now.Sub(m.first); {
	case !m.track[Video].seen:
		return OK, "", ""
	case m.keys == 0:
		return above(wait, gopWarn, gopBad), fmt.Sprintf("No key frame has come for %.1f s: viewers see nothing yet.", wait.Seconds()), advice
	}
	gop := max(m.gop, m.track[Video].media-m.key)
	return above(gop, gopWarn, gopBad), fmt.Sprintf("Key frames come every %.1f s.", gop.Seconds()), advice
}

func upload(m *Monitor, _ time.Time) (Level, string, string) {
	sum, seconds := m.last(window)
	if seconds < window {
		return OK, "", ""
	}
	share := sum.media.Seconds() / seconds
	kbit := float64(sum.bytes[Video]+sum.bytes[Audio]) / 125 / seconds
	return below(share, uploadWarn, uploadBad), fmt.Sprintf("Of each second only %.0f %% arrives in time, at %.0f kbit/s.", share*100, kbit),
		fmt.Sprintf("The encoder's network is too slow for its bit rate: set that to %.0f kbit/s or less, or use a cable.", math.Floor(kbit*0.8/100)*100)
}

// below grades a share of which less is worse.
func below(v, warn, bad float64) Level {
	switch {
	case v < bad:
		return Bad
	case v < warn:
		return Warn
	}
	return OK
}

// jitter leaves out what is late because too little comes at all, see upload.
func jitter(m *Monitor, now time.Time) (Level, string, string) {
	if level, _, _ := upload(m, now); level != OK {
		return OK, "", ""
	}
	sum, _ := m.last(window)
	return above(sum.late, lateWarn, lateBad), fmt.Sprintf("What is sent arrives up to %.1f s late.", sum.late.Seconds()),
		"The encoder's network is unsteady: use a cable, or a lower bit rate."
}

func frameRate(m *Monitor, now time.Time) (Level, string, string) {
	sum, seconds := m.last(window)
	if m.rate <= 0 || seconds < window || sum.media <= 0 || !m.track[Video].seen {
		return OK, "", ""
	}
	// By media time: what is late is another fault's.
	got := float64(sum.frames[Video]) / max(sum.media.Seconds(), 1)
	return below(got/m.rate, rateWarn, rateBad), fmt.Sprintf("%.1f pictures a second come, the encoder says that there are %.4g.", got, m.rate),
		"The encoder leaves pictures out: its machine or its network is overloaded; choose a faster preset, a smaller size or a lower bit rate."
}

func drift(m *Monitor, now time.Time) (Level, string, string) {
	if !m.known || now.Sub(m.track[Video].at) > trackWarn || now.Sub(m.track[Audio].at) > trackWarn {
		return OK, "", ""
	}
	off := m.lead() - m.apart
	which := "ahead of"
	if off < 0 {
		off, which = -off, "behind"
	}
	return above(off, driftWarn, driftBad), fmt.Sprintf("The sound is %.1f s %s the pictures, by what it was at the begin.", off.Seconds(), which),
		"Restart the stream in the encoder; if it comes again, set its sound device to the sample rate of the stream."
}

// missing is a track that there was, and of which nothing comes while the other
// goes on.
func missing(m *Monitor, t Track) (Level, string, string) {
	other := m.track[Video+Audio-t]
	if !m.track[t].seen || !other.seen {
		return OK, "", ""
	}
	quiet := other.at.Sub(m.track[t].at)
	what, advice := "picture", "See whether the camera or the scene still runs."
	if t == Audio {
		what, advice = "sound", "See whether the sound device is there and not muted by the encoder's settings."
	}
	return above(quiet, trackWarn, trackBad), fmt.Sprintf("No %s has come for %.0f s.", what, quiet.Seconds()), advice
}

func stamps(m *Monitor, _ time.Time) (Level, string, string) {
	sum, _ := m.last(History)
	return above(sum.repairs, repairWarn, repairBad), fmt.Sprintf("Timestamps went back or jumped %d times in two minutes, and were repaired.", sum.repairs),
		"Restart the encoder; if it comes again, update it, or its capture device's driver."
}

func configurations(m *Monitor, _ time.Time) (Level, string, string) {
	sum, _ := m.last(History)
	return above(sum.configs, configWarn, configBad), fmt.Sprintf("The encoder changed its codec's configuration %d times in two minutes: players stop at each.", sum.configs),
		"Keep size, frame rate and sample rate as they are while you stream."
}
