package inputs

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/hls"
	"weir/media"
	"weir/media/aac"
	"weir/media/h264"
)

// Account is what became of what was sent.
type Account struct {
	// Sent, Shown and Again are how many frames of each kind were sent, of those
	// are there, and are there more than once: pictures that stand in for a pause.
	Sent, Shown, Again [3]int
	// Silent are sounds that nobody sent and that hold nothing, Unknown frames that
	// nobody sent and that hold something.
	Silent, Unknown int
	// Disordered are frames that do not follow the one that was sent before.
	Disordered int
	// Apart is how far pictures are shown from the sound that was captured with
	// them, at most, the sign is that of being late; From is when that was captured.
	Apart, From time.Duration
	// Missing is what of each kind is not there, by when it was captured.
	Missing [3][]time.Duration
}

// sentFrame is one frame of the input, and where it came out.
type sentFrame struct {
	session int
	shown   time.Duration
	found   bool
	pts     int64
}

// Account compares what was sent, in all sessions, with what came out.
func (p *Packaged) Account(sessions ...Input) (a Account) {
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		p.compare(&a, kind, sessions)
	}
	return a
}

// index finds frames by what they hold.
func index(kind media.Kind, sessions []Input) (all []sentFrame, by map[string]int) {
	by = map[string]int{}
	for n, in := range sessions {
		for i := range in {
			t := &in[i]
			if t.Kind != kind || header(t.Tag) {
				continue
			}
			contents := [][]byte{t.Data[min(2, len(t.Data)):]}
			if kind == media.Video {
				contents = slicesOf(t.Data)
			}
			fresh := true
			for _, c := range contents {
				if at, ok := by[string(c)]; ok && all[at].session == n {
					fresh = false
				}
			}
			// The messages of one picture are one frame.
			if last := len(all) - 1; kind == media.Video && fresh && last >= 0 && all[last].session == n && all[last].shown == t.Shown {
				for _, c := range contents {
					by[string(c)] = last
				}
				continue
			}
			for _, c := range contents {
				by[string(c)] = len(all)
			}
			all = append(all, sentFrame{session: n, shown: t.Shown})
		}
	}
	return all, by
}

// slicesOf are the slices of a message, however it is framed.
func slicesOf(body []byte) (all [][]byte) {
	units, _ := h264.Split(nil, body[min(5, len(body)):], h264.PartLengthSize)
	for _, nal := range units {
		if t := h264.TypeOf(nal); t >= h264.Slice && t <= h264.IDR {
			for len(nal) > 0 && nal[len(nal)-1] == 0 {
				nal = nal[:len(nal)-1]
			}
			all = append(all, nal)
		}
	}
	return all
}

func (p *Packaged) compare(a *Account, kind media.Kind, sessions []Input) {
	all, by := index(kind, sessions)
	last := -1
	for _, f := range p.Of(kind) {
		at, known := -1, false
		if kind == media.Audio {
			at, known = find(by, f.Data)
		} else if len(f.Units) > 0 {
			at, known = find(by, f.Units[0])
		}
		switch {
		case !known && kind == media.Audio && silent(f.Data):
			a.Silent++
		case !known:
			a.Unknown++
		case all[at].found:
			a.Again[kind]++
		default:
			if at < last {
				a.Disordered++
			}
			last = at
			all[at].found, all[at].pts = true, f.PTS
			a.Shown[kind]++
		}
	}
	a.Sent[kind] = len(all)
	for i := range all {
		if !all[i].found {
			a.Missing[kind] = append(a.Missing[kind], all[i].shown)
		}
	}
}

func find(by map[string]int, content []byte) (int, bool) {
	at, ok := by[string(content)]
	return at, ok
}

// silent tells whether a sound is one that weir makes.
func silent(data []byte) bool {
	if len(data) > 32 {
		return false
	}
	for channels := 1; channels <= 7; channels++ {
		c := aac.Config{ObjectType: aac.LC, SampleRate: 48000, ChannelConfig: uint8(channels), FrameLength: 1024}
		if frame, err := c.AppendSilence(nil); err == nil && string(frame) == string(data) {
			return true
		}
	}
	return false
}

// Apart returns how far the pictures are shown from the sound that was captured
// with them, each picture for itself, by when it was captured in its session.
func (p *Packaged) Apart(sessions ...Input) (all []Apart) {
	pictures, byPicture := index(media.Video, sessions)
	sounds, bySound := index(media.Audio, sessions)
	p.place(media.Video, pictures, byPicture)
	p.place(media.Audio, sounds, bySound)
	near := map[int][]*sentFrame{} // by the fifth of a second
	for j := range sounds {
		at := int(sounds[j].shown / (200 * time.Millisecond))
		near[at] = append(near[at], &sounds[j])
	}
	for i := range pictures {
		v := &pictures[i]
		if !v.found {
			continue
		}
		least := math.Inf(1)
		at := int(v.shown / (200 * time.Millisecond))
		for _, s := range slices.Concat(near[at-1], near[at], near[at+1]) {
			if s.found && s.session == v.session && (s.shown-v.shown).Abs() < 200*time.Millisecond {
				off := float64(v.pts-s.pts)/media.Clock*1000 - float64(v.shown-s.shown)/1e6
				if math.Abs(off) < math.Abs(least) {
					least = off
				}
			}
		}
		if !math.IsInf(least, 0) {
			all = append(all, Apart{v.session, v.shown, time.Duration(least * 1e6)})
		}
	}
	return all
}

// Apart is one picture of a session, and how late it is beside its sound.
type Apart struct {
	Session int
	Shown   time.Duration
	By      time.Duration
}

// Worst is the one that is furthest off.
func Worst(all []Apart) (w Apart) {
	for _, x := range all {
		if x.By.Abs() > w.By.Abs() {
			w = x
		}
	}
	return w
}

func (p *Packaged) place(kind media.Kind, all []sentFrame, by map[string]int) {
	for _, f := range p.Of(kind) {
		content := f.Data
		if kind == media.Video && len(f.Units) > 0 {
			content = f.Units[0]
		}
		if at, ok := by[string(content)]; ok && !all[at].found {
			all[at].found, all[at].pts = true, f.PTS
		}
	}
}

// Sound holds what was made against what no viewer may meet, whatever was sent.
// Rules of weir check that a name in but begins are let pass.
func (p *Packaged) Sound(t testing.TB, but ...string) {
	t.Helper()
	errors, _ := p.Findings(t)
	for _, e := range errors {
		if !slices.ContainsFunc(but, func(b string) bool { return strings.HasPrefix(e, b) }) {
			t.Errorf("weir check: %s", e)
		}
	}
	p.ordered(t)
	p.whole(t)
}

// ordered: DTS increase, and no picture is shown before it is decoded.
func (p *Packaged) ordered(t testing.TB) {
	t.Helper()
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		last := int64(math.MinInt64)
		for _, f := range p.Of(kind) {
			if f.DTS <= last || f.PTS < f.DTS {
				t.Errorf("segment %d: %v with DTS %d behind %d, PTS %d", f.Segment, kind, f.DTS, last, f.PTS)
				return
			}
			last = f.DTS
		}
	}
}

// whole: every segment has every track of the show, and lasts as long as a frame
// at least.
func (p *Packaged) whole(t testing.TB) {
	t.Helper()
	var has [3][]int
	for kind := range has {
		has[kind] = make([]int, len(p.Bodies))
	}
	for _, f := range p.Frames {
		has[f.Kind][f.Segment]++
	}
	for i, e := range p.Entries {
		if p.State.Kinds.Video && has[media.Video][i] == 0 || p.State.Kinds.Audio && has[media.Audio][i] == 0 {
			t.Errorf("segment %d of a show with %+v has %d pictures, %d sounds", i, p.State.Kinds, has[media.Video][i], has[media.Audio][i])
		}
		if e.DurationMS < 16 {
			t.Errorf("segment %d lasts %d ms", i, e.DurationMS)
		}
		if e.Flags&hls.Gap != 0 {
			t.Errorf("entry %d is a gap, and nothing was lost", i)
		}
	}
}
