package bus

import (
	"slices"
	"time"

	"weir/media"
)

const (
	// grace is how long Supervise leaves it to whoever decided something in the
	// registry to write it into the log.
	grace = 500 * time.Millisecond
	// quiet is how long an end that was written may go unheard before it is
	// written again, in case the log has lost it.
	quiet = 10 * time.Second
	// endedMost is how many streams that have ended the registry knows; the
	// oldest go first.
	endedMost = 1000
)

// standing is how a session and the registry's entry of its stream agree.
type standing int

const (
	standsIn  standing = iota // it is named, or was fenced by a newer one
	forgotten                 // the registry has lost it
	replaced                  // another broadcast has begun
)

func (s *Session) standing(e Registration) standing {
	switch {
	case e.Broadcast == "":
		return forgotten
	case e.Broadcast != s.broadcast && e.Broadcast < s.broadcast && e.rev < s.rev:
		return forgotten // NATS went back to the broadcast before
	case e.Broadcast != s.broadcast:
		return replaced
	case e.Epoch < s.epoch:
		return forgotten
	}
	return standsIn
}

// what a duty is.
type what string

// The duties.
const (
	mustLose     what = "declare a session lost"
	mustEnd      what = "end a broadcast"
	mustRepair   what = "write a marker"
	mustAnnounce what = "announce a broadcast"
	mustSettle   what = "write an end"
	mustReenter  what = "register a session again"
	mustEvict    what = "end a session"
	mustFinish   what = "end a broadcast that was closed"
	mustPrune    what = "forget a stream"
)

// duty is something that is to be done, and can be done twice.
type duty struct {
	what                 what
	stream               media.Stream
	broadcast, rendition string
	session              string
	rev                  uint64 // of the entry by which it was decided
}

// overview is what a supervisor knows, and decides by: pure, so that it can be
// explored.
type overview struct {
	window  time.Duration
	entries map[string]*sighting   // by stream
	states  map[string]*stateSight // by key
	synced  bool                   // all states have been seen
}

// sighting is a revision of an entry, and when it was first seen.
type sighting struct {
	Registration
	seen     time.Time
	repaired time.Time // when its marker was written last
}

// same tells whether e is the revision that was seen. NATS that went back gives
// a number out twice.
func (s *sighting) same(e Registration) bool {
	return s.rev == e.rev && s.Broadcast == e.Broadcast && s.Epoch == e.Epoch && s.Session == e.Session && s.State == e.State
}

// stateSight is an open State without an end, and since when.
type stateSight struct {
	stream               media.Stream
	broadcast, rendition string
	seen, settled        time.Time
	closed               bool
}

func newOverview(window time.Duration) *overview {
	return &overview{window: window, entries: make(map[string]*sighting), states: make(map[string]*stateSight)}
}

func (o *overview) see(e Registration, now time.Time) {
	key := e.Stream.Token()
	known := o.entries[key]
	if e.Broadcast == "" && known == nil {
		return
	}
	if e.Broadcast == "" {
		delete(o.entries, key)
	} else if known == nil || !known.same(e) {
		o.entries[key] = &sighting{Registration: e, seen: now}
	}
	if known != nil && known.Broadcast == e.Broadcast {
		return
	}
	for _, s := range o.states { // whether they are somebody's begins to count anew
		if s.stream == e.Stream {
			s.seen = now
		}
	}
}

func (o *overview) seeState(key string, head stateHead, there bool, now time.Time) {
	if !there {
		delete(o.states, key)
		return
	}
	s := o.states[key]
	if s == nil {
		s = &stateSight{seen: now}
		o.states[key] = s
	}
	s.broadcast, s.rendition = Segment.parse(key)
	s.closed = head.Closed
	s.stream, _ = parseStream(head.Stream) // its worker says what is wrong with it
}

// due returns what is to be done at now.
func (o *overview) due(now time.Time, sessions []*Session, orphaned func(Registration) bool) []duty {
	var all []duty
	for _, x := range sessions {
		d := duty{what: mustReenter, stream: x.stream, broadcast: x.broadcast, session: x.id}
		var e Registration
		if known := o.entries[x.stream.Token()]; known != nil {
			e = known.Registration
		}
		switch x.standing(e) {
		case replaced:
			d.what = mustEvict
			all = append(all, d)
		case forgotten:
			all = append(all, d)
		}
	}
	ended := 0
	for _, e := range o.entries {
		if what := o.dueOf(e, now, orphaned); what != "" {
			all = append(all, duty{what: what, stream: e.Stream, broadcast: e.Broadcast, rev: e.rev})
		}
		if e.State == Ended {
			ended++
		}
	}
	for _, s := range o.states {
		if o.unsettled(s, now) {
			all = append(all, duty{what: mustSettle, stream: s.stream, broadcast: s.broadcast, rendition: s.rendition})
		}
	}
	if ended > endedMost {
		all = append(all, o.prune(ended-endedMost)...)
	}
	return all
}

// dueOf is what an entry needs.
func (o *overview) dueOf(e *sighting, now time.Time, orphaned func(Registration) bool) what {
	since := now.Sub(e.seen)
	state := o.states[stateKey(e.Broadcast)]
	open := state != nil && !state.closed
	switch {
	case e.State == Live && orphaned(e.Registration):
		return mustLose
	case e.State == Waiting && since >= o.window:
		return mustEnd
	case e.State != Ended && state != nil && state.closed && since >= grace:
		return mustFinish // its playlists have ended, and nobody would see what comes
	case o.synced && state == nil && e.State != Ended && since >= grace:
		return mustAnnounce
	case e.State != Live && since >= grace && e.repaired.IsZero():
		return mustRepair
	case e.State == Ended && open && now.Sub(e.repaired) >= quiet:
		return mustRepair // it should have been heard by now
	}
	return ""
}

// unsettled tells whether a State waits for an end that nobody is going to
// write: the registry has gone on to another broadcast, or has lost this one
// and no session of it came back within the window.
func (o *overview) unsettled(s *stateSight, now time.Time) bool {
	if s.closed || s.stream.App == "" || now.Sub(s.settled) < quiet {
		return false
	}
	e := o.entries[s.stream.Token()]
	if e != nil && e.Broadcast == s.broadcast {
		return false
	}
	wait := o.window + grace
	if e != nil {
		wait = grace
	}
	return now.Sub(s.seen) >= wait
}

// prune returns the n streams that have ended longest ago.
func (o *overview) prune(n int) (all []duty) {
	var ended []*sighting
	for _, e := range o.entries {
		if s := o.states[stateKey(e.Broadcast)]; e.State == Ended && (s == nil || s.closed) {
			ended = append(ended, e)
		}
	}
	slices.SortFunc(ended, func(a, b *sighting) int { return a.Since.Compare(b.Since) })
	for _, e := range ended[:min(n, len(ended))] {
		all = append(all, duty{what: mustPrune, stream: e.Stream, broadcast: e.Broadcast, rev: e.rev})
	}
	return all
}

// done takes note that a duty was done.
func (o *overview) done(d duty, now time.Time) {
	switch d.what {
	case mustRepair, mustEnd:
		if e := o.entries[d.stream.Token()]; e != nil && e.rev == d.rev {
			e.repaired = now
		}
	case mustSettle:
		if s := o.states[Segment.key(d.broadcast, d.rendition)]; s != nil {
			s.settled = now
		}
	}
}
