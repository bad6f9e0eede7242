// Package health tells a streamer in plain words what is wrong with what an
// encoder sends, while it can still be mended: a Monitor is fed with frames as
// they arrive, and its Report has faults, what to do about each, and two minutes
// of figures. It knows no container and no clock.
package health

import "time"

// History is how many seconds a Report goes back.
const History = 120

// Track is what a frame is of.
type Track int

// The tracks.
const (
	Video Track = iota
	Audio
	tracks
)

const (
	// jump is the least step of a track's timestamps that is none of a frame, but
	// of its clock.
	jump = 5 * time.Second
	// settled is when the difference between the tracks is taken for what it is
	// to be: encoders begin with whatever they have.
	settled = 3 * time.Second
)

// Monitor watches one session. Its zero value watches nothing: use New.
type Monitor struct {
	began  time.Time
	track  [tracks]clock
	first  time.Time // when the first frame came
	heard  time.Time // when the last one came
	keys   int
	key    time.Duration // media time of the last key frame
	gop    time.Duration // between the last two
	keyAt  time.Time     // when it came
	rate   float64       // pictures a second, as declared; 0: nothing is
	apart  time.Duration // sound before pictures when that had settled
	known  bool          // apart is
	slack  time.Duration // the least that media was behind the clock
	second int64         // the present one, since began
	ring   [History]sample
}

// clock is where a track is.
type clock struct {
	seen   bool
	stamp  uint32        // of its last frame, in ms
	at     time.Time     // when that came
	media  time.Duration // since its first one, without jumps
	origin uint32        // what the stamps of its clock began at
}

// sample is what came in a second.
type sample struct {
	bytes   [tracks]int
	frames  [tracks]int
	media   time.Duration // that the session went on by
	late    time.Duration // the most that a frame was
	repairs int           // stamps that went back or jumped
	configs int           // configurations that were other than before
}

// New returns a Monitor of a session that begins at now.
func New(now time.Time) *Monitor { return &Monitor{began: now} }

// Declare tells how many pictures a second the encoder says that there are.
func (m *Monitor) Declare(picturesPerSecond float64) { m.rate = picturesPerSecond }

// Changed tells that a codec's configuration is another than before.
func (m *Monitor) Changed(now time.Time) { m.at(now).configs++ }

// Frame takes a frame that arrived at now: its timestamp in ms, as FLV has it
// (DTS), and its size in bytes. key: a reader may begin there.
func (m *Monitor) Frame(now time.Time, t Track, stamp uint32, size int, key bool) {
	if m.first.IsZero() {
		m.first = now
	}
	m.heard = now
	x := m.at(now)
	x.bytes[t] += size
	x.frames[t]++
	before := m.position()
	m.advance(now, &m.track[t], stamp, x)
	if step := m.position() - before; step > 0 {
		x.media += step
	}
	late := now.Sub(m.first) - m.position()
	m.slack = min(m.slack, late)
	x.late = max(x.late, late-m.slack)
	if key {
		m.noteKey(now)
	}
	m.noteApart(now)
}

// advance moves a track's clock. A step back or a jump is repaired: the media
// goes on by the time that has passed.
func (m *Monitor) advance(now time.Time, c *clock, stamp uint32, x *sample) {
	step := time.Duration(int32(stamp-c.stamp)) * time.Millisecond
	switch {
	case !c.seen:
		c.seen, c.origin = true, stamp
		c.media = m.position() // it joins the one that is there
	case step < 0 || step > jump && step > 2*now.Sub(c.at):
		x.repairs++
		passed := now.Sub(c.at)
		c.media += passed
		c.origin += stamp - c.stamp - uint32(passed/time.Millisecond)
	default:
		c.media += step
	}
	c.stamp, c.at = stamp, now
}

// position is how far the session's media is: that of the track that is ahead.
func (m *Monitor) position() time.Duration {
	return max(m.track[Video].media, m.track[Audio].media)
}

func (m *Monitor) noteKey(now time.Time) {
	at := m.track[Video].media
	if m.keys++; m.keys > 1 {
		m.gop = at - m.key
	}
	m.key, m.keyAt = at, now
}

// noteApart keeps what the difference of the tracks was when it had settled.
func (m *Monitor) noteApart(now time.Time) {
	if !m.known && m.both() && now.Sub(m.first) >= settled {
		m.apart, m.known = m.lead(), true
	}
}

func (m *Monitor) both() bool { return m.track[Video].seen && m.track[Audio].seen }

// lead is how far the sound is ahead of the pictures, by their timestamps.
func (m *Monitor) lead() time.Duration {
	return time.Duration(int32(m.track[Audio].stamp-m.track[Video].stamp)) * time.Millisecond
}

// at returns the sample of the second that now is in, and empties those that
// were passed over.
func (m *Monitor) at(now time.Time) *sample {
	s := int64(now.Sub(m.began) / time.Second)
	for ; m.second < s; m.second++ {
		if s-m.second > History {
			m.second = s - History
		}
		m.ring[(m.second+1)%History] = sample{}
	}
	return &m.ring[m.second%History]
}

// last adds up the last n seconds that are complete, and tells how many those are.
func (m *Monitor) last(n int) (sum sample, seconds float64) {
	for i := int64(1); i <= int64(n) && i <= m.second && i < History; i++ {
		s := &m.ring[(m.second-i)%History]
		for t := range tracks {
			sum.bytes[t] += s.bytes[t]
			sum.frames[t] += s.frames[t]
		}
		sum.media += s.media
		sum.late = max(sum.late, s.late)
		sum.repairs += s.repairs
		sum.configs += s.configs
		seconds++
	}
	return sum, seconds
}
