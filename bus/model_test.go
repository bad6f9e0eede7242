package bus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
	"weir/hls"
	"weir/media/framelog"
)

// The model is the protocol without its parts: a registry, a log, a claim with
// its State, a store with a playlist; sessions, workers and a supervisor that
// take one step at a time, in any order, with the project's own decisions
// (overview.due, Session.standing, outdates, lostClaim, reader, hls.Place). Any
// step may be the last before a crash; NATS may lose what it has, or go back;
// a put may reach the store long after it was sent, by a worker that owns
// nothing any more. A schedule is a seed. See docs/decisions for what it leaves
// out.

// natsModel is all that NATS keeps.
type natsModel struct {
	seq    uint64 // of the buckets
	born   int    // counts how often the bucket of States was made
	log    []jet.Message
	logSeq uint64
	logID  int
	reg    Registration // Broadcast "": none; rev is in it
	states map[string]modelState
}

// modelState is a state entry.
type modelState struct {
	rev     uint64
	owner   string
	batches []uint64 // that are listed
	pos     framelog.Position
	skip    uint64 // adopted: epoch<<32|number that is listed already
	ending  bool
	closed  bool
}

func (n *natsModel) clone() *natsModel {
	c := *n
	c.log = slices.Clone(n.log)
	c.states = make(map[string]modelState, len(n.states))
	for k, v := range n.states {
		c.states[k] = v
	}
	return &c
}

// modelList is a playlist in the store: which batches its segments hold.
type modelList struct {
	etag    int
	batches []uint64
	ended   bool
}

// list is it as a playlist, whose segments have names after their batches.
func (l *modelList) list() *hls.List {
	x := &hls.List{Ended: l.ended}
	for _, b := range l.batches {
		x.Entries = append(x.Entries, hls.Entry{URI: strconv.FormatUint(b, 16)})
	}
	return x
}

// modelWorker is one life of a worker.
type modelWorker struct {
	id        string
	broadcast string
	saved     modelState // that it saved last
	born      int
	reader    *reader
	at        int // messages of the log that it has read since the reader began
	log       int
	begun     bool // it has compared what was saved with what the store lists
	looked    bool // it has read that
	there     *modelList
	pending   *modelPut
	seen      modelList
	gone      bool
}

type modelPut struct {
	list modelList
	over int // etag that it expects
}

// model is one schedule.
type model struct {
	pick     func(n int) int // of n choices, the number of one
	now      time.Time
	nats     *natsModel
	old      *natsModel // as it was on disk
	store    map[string]*modelList
	lists    int
	session  *Session
	sequence uint64 // that the session expects
	number   uint64
	unsent   *framelog.Header // decided, and not yet in the log
	shows    int
	sessions int
	workers  []*modelWorker
	lives    int
	view     *overview
	faults   int
	beside   bool // a life lists what was saved while it begins: see TestModelBeside
	trace    []string
}

func newModel(pick func(n int) int) *model {
	m := &model{pick: pick, now: time.Unix(1e9, 0), store: make(map[string]*modelList), faults: 4}
	m.nats = &natsModel{states: make(map[string]modelState)}
	m.old = m.nats.clone()
	m.view = newOverview(10 * time.Second)
	m.view.synced = true
	return m
}

func (m *model) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); len(m.trace) == 0 || m.trace[len(m.trace)-1] != text {
		m.trace = append(m.trace, text)
	}
}

// append adds a message behind the one with sequence after, 0 for none.
func (m *model) append(broadcast string, h framelog.Header, after uint64) bool {
	if last := m.last(broadcast); last.Seq != after {
		return false
	}
	m.nats.logSeq++
	m.nats.log = append(m.nats.log, jet.Message{Subject: broadcast, Seq: m.nats.logSeq, Header: nats.Header{
		framelog.HeaderName:                 {h.String()},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(after, 10)},
	}})
	return true
}

func (m *model) last(broadcast string) (last jet.Message) {
	for _, x := range m.nats.log {
		if x.Subject == broadcast {
			last = x
		}
	}
	return last
}

func headerOf(x jet.Message) framelog.Header {
	h, _ := framelog.ParseHeader(x.Header.Get(framelog.HeaderName))
	return h
}

// place is placeOf.
func (m *model) place(broadcast string, seq uint64) (p place) {
	for _, x := range m.nats.log {
		h := headerOf(x)
		switch {
		case x.Seq == seq && x.Subject == broadcast:
			return place{at: &h}
		case x.Seq == seq:
			p.foreign = true
		case p.foreign && x.Seq > seq && x.Subject == broadcast:
			p.next = &h
			return p
		}
	}
	return p
}

// decide writes the registry by compare-and-set.
func (m *model) decide(e Registration) bool {
	if e.rev != m.nats.reg.rev {
		return false
	}
	m.nats.seq++
	e.rev = m.nats.seq
	m.nats.reg = e
	return true
}

// mark writes a marker as Bus.mark does.
func (m *model) mark(broadcast string, e Registration, flags framelog.Flags) {
	last := m.last(broadcast)
	h := framelog.Header{Session: "m", Epoch: e.Epoch, Number: 1, Flags: flags}
	if last.Seq > 0 {
		was := headerOf(last)
		if outdates(was, h) {
			return
		}
		if was.Epoch >= h.Epoch {
			h.Epoch, h.Number = was.Epoch, was.Number+1
		}
	}
	m.append(broadcast, h, last.Seq)
}

func (m *model) announce(broadcast string) {
	if _, there := m.nats.states[broadcast]; !there {
		m.nats.seq++
		m.nats.states[broadcast] = modelState{rev: m.nats.seq}
	}
}

// publish is a step of the encoder: connect, or send a batch.
func (m *model) publish() {
	if m.session == nil {
		e := m.nats.reg
		m.sessions++
		if e.Broadcast == "" || e.State == Ended {
			m.shows++
			e.Broadcast, e.Epoch = fmt.Sprintf("b%03d", m.shows), 1
		} else {
			e.Epoch++
		}
		e.Stream, e.Session, e.Node, e.State = live, fmt.Sprint("s", m.sessions), "n", Live
		if !m.decide(e) {
			return
		}
		m.session = &Session{stream: live, broadcast: e.Broadcast, epoch: e.Epoch, id: e.Session, rev: m.nats.reg.rev, registered: true}
		m.number, m.unsent = 0, nil
		m.announce(e.Broadcast)
		last := m.last(e.Broadcast)
		m.sequence = last.Seq
		if e.Epoch > 1 {
			if h := headerOf(last); last.Seq > 0 && h.Epoch >= e.Epoch {
				m.session = nil // fenced
				return
			}
			m.append(e.Broadcast, framelog.Header{Session: e.Session, Epoch: e.Epoch, Flags: framelog.Fence}, last.Seq)
			m.sequence = m.nats.logSeq
		}
		m.say("%s begins %s, epoch %d", e.Session, e.Broadcast, e.Epoch)
		return
	}
	s := m.session
	last := m.last(s.broadcast)
	switch {
	case last.Seq > m.sequence: // as Writer.resolve
		m.say("%s is fenced", s.id)
		m.session = nil
		return
	case last.Seq < m.sequence:
		m.sequence = last.Seq
	}
	flags := framelog.Key
	if m.number == 0 {
		flags |= framelog.Begin
	}
	if m.append(s.broadcast, framelog.Header{Session: s.id, Epoch: s.epoch, Number: m.number + 1, Flags: flags}, m.sequence) {
		m.number++
		m.sequence = m.nats.logSeq
	}
}

// leave is the end of a session: clean, lost, or without a word.
func (m *model) leave(how int) {
	s := m.session
	if s == nil {
		return
	}
	m.session = nil
	m.say("%s leaves: %d", s.id, how)
	if how == 2 { // its process dies
		return
	}
	e := m.nats.reg
	if e.Session != s.id || e.Broadcast != s.broadcast {
		return
	}
	flags := framelog.Final
	if e.State = Ended; how == 1 {
		e.State, flags = Waiting, framelog.End|framelog.Lost
	}
	if m.decide(e) && m.pick(3) > 0 { // or it dies right then
		m.mark(e.Broadcast, e, flags)
	}
}

// supervise does one duty of those that are due, which may be late news.
func (m *model) supervise() {
	m.now = m.now.Add([]time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second, 11 * time.Second}[m.pick(4)])
	e := m.nats.reg
	e.Stream = live
	m.view.see(e, m.now)
	for key := range m.view.states {
		b, _ := Segment.parse(key)
		if _, there := m.nats.states[b]; !there {
			m.view.seeState(key, stateHead{}, false, m.now)
		}
	}
	for b, s := range m.nats.states {
		m.view.seeState(stateKey(b), stateHead{Stream: live.String(), Closed: s.closed}, true, m.now)
	}
	var sessions []*Session
	if m.session != nil {
		sessions = append(sessions, m.session)
	}
	due := m.view.due(m.now, sessions, func(e Registration) bool { return m.session == nil || m.session.id != e.Session })
	if len(due) == 0 {
		return
	}
	slices.SortFunc(due, func(a, b duty) int { return strings.Compare(string(a.what)+a.broadcast, string(b.what)+b.broadcast) })
	d := due[m.pick(len(due))]
	m.say("%s %s", d.what, d.broadcast)
	m.perform(d)
	m.view.done(d, m.now)
}

// perform is Bus.perform.
func (m *model) perform(d duty) {
	e := m.nats.reg
	switch d.what {
	case mustReenter, mustEvict:
		s := m.session
		if s == nil {
			return
		}
		switch s.standing(e) {
		case forgotten:
			m.decide(Registration{Stream: live, Broadcast: s.broadcast, Epoch: s.epoch, Session: s.id, Node: "n", State: Live, rev: e.rev})
		case replaced:
			m.session = nil
		}
		return
	case mustSettle:
		if e.Broadcast == d.broadcast {
			m.repair(e)
			return
		}
		m.mark(d.broadcast, Registration{}, framelog.Final)
		return
	}
	if e.Broadcast != d.broadcast || e.rev != d.rev {
		return
	}
	switch d.what {
	case mustLose:
		e.State = Waiting
	case mustEnd:
		e.State = Ended
	case mustFinish:
		e.State, m.session = Ended, nil
	case mustAnnounce:
		m.announce(d.broadcast)
		return
	}
	if e.State != m.nats.reg.State && !m.decide(e) {
		return
	}
	if m.pick(4) > 0 {
		m.repair(m.nats.reg)
	}
}

// repair is Bus.Repair.
func (m *model) repair(e Registration) {
	if s, there := m.nats.states[e.Broadcast]; !there || s.closed {
		return
	}
	switch e.State {
	case Waiting:
		m.mark(e.Broadcast, e, framelog.End|framelog.Lost)
	case Ended:
		m.mark(e.Broadcast, e, framelog.Final)
	}
}

// save is Claim.Save: whether the State is stored, and whether that was anew.
func (m *model) save(w *modelWorker, s modelState) (ok, restored bool) {
	s.owner = w.id
	for range 2 {
		now, there := m.nats.states[w.broadcast]
		if there && now.rev == w.saved.rev && w.born == m.nats.born {
			m.nats.seq++
			s.rev = m.nats.seq
			m.nats.states[w.broadcast], w.saved = s, s
			return true, restored
		}
		head := stateHead{Owner: now.owner, Closed: now.closed}
		if !lostClaim(w.born == m.nats.born, there, head, now.rev, w.saved.rev) {
			return false, false
		}
		m.say("%s writes its claim anew", w.id)
		restored = true
		w.born, w.saved.rev = m.nats.born, now.rev
		if !there { // as if a key of revision 0 were there
			m.nats.states[w.broadcast] = modelState{}
			w.saved.rev = 0
		}
	}
	return false, false
}

// claim begins a worker's life on a broadcast that may be had.
func (m *model) claim() {
	var free []string
	for b, s := range m.nats.states {
		owned := slices.ContainsFunc(m.workers, func(w *modelWorker) bool { return w.id == s.owner && !w.gone })
		if !s.closed && (!owned || m.faults > 0 && m.pick(10) == 0) {
			free = append(free, b)
		}
	}
	if len(free) == 0 {
		return
	}
	slices.Sort(free)
	b := free[m.pick(len(free))]
	m.lives++
	w := &modelWorker{id: fmt.Sprint("w", m.lives), broadcast: b, saved: m.nats.states[b], born: m.nats.born}
	if ok, _ := m.save(w, w.saved); !ok {
		return
	}
	m.say("%s claims %s at %d", w.id, b, len(w.saved.batches))
	m.workers = append(m.workers, w)
}

// begin is segmenter's adopt, with what a life begins: what the store lists is
// taken up where it is not what the State says. It looks, and decides later.
func (m *model) begin(w *modelWorker) {
	s := w.saved
	if !w.looked {
		w.looked, w.pending, w.reader, w.there = true, nil, nil, m.store[w.broadcast]
		if m.beside && len(s.batches) > 0 {
			w.pending = &modelPut{modelList{batches: s.batches}, w.seen.etag}
		}
		return
	}
	w.begun, w.looked, w.pending = true, false, nil
	there := w.there
	if there == nil {
		w.seen = modelList{}
	} else {
		w.seen = *there
		ours := modelList{batches: s.batches, ended: s.ending}
		if ours.list().Against(there.list()) != hls.Continues {
			m.say("%s adopts %d of %d, ended %t", w.id, len(there.batches), len(s.batches), there.ended)
			s.batches, s.ending = slices.Clone(there.batches), there.ended || s.ending
			if len(s.batches) > 0 {
				s.skip = max(s.skip, s.batches[len(s.batches)-1])
			}
			m.checkpoint(w, s)
			return
		}
	}
	if len(s.batches) > 0 {
		w.pending = &modelPut{modelList{batches: s.batches}, w.seen.etag}
	}
}

// checkpoint saves what a step has made. If the claim was lost meanwhile the life
// begins again, if another has it, it is over.
func (m *model) checkpoint(w *modelWorker, s modelState) bool {
	ok, restored := m.save(w, s)
	switch {
	case !ok:
		m.say("%s is not the owner", w.id)
		w.gone = true
	case restored:
		w.begun = false
	}
	return ok && !restored
}

// work is a step of a worker: read a message, save what it brings.
func (m *model) work(w *modelWorker) {
	switch {
	case w.gone:
		return
	case !w.begun:
		m.begin(w)
		return
	case w.saved.ending:
		m.finishList(w)
		return
	}
	if w.reader == nil || w.log != m.nats.logID {
		w.reader = newReader(w.saved.pos, nil, func(uint64, error) {})
		w.log, w.at = m.nats.logID, 0
		w.reader.begin(fmt.Sprint(m.nats.born, "/", m.nats.logBorn()), m.nats.logSeq, m.place(w.broadcast, w.reader.pos))
	}
	var got *framelog.Batch
	w.reader.fn = func(b *framelog.Batch, _ bool) error { got = b; return nil }
	for got == nil && w.at < len(m.nats.log) {
		x := m.nats.log[w.at]
		w.at++
		if x.Subject != w.broadcast || x.Seq <= w.reader.pos {
			continue
		}
		if w.reader.message(x) != nil {
			w.reader.rewind()
			w.at = 0
		}
	}
	if got == nil {
		return
	}
	s := w.saved
	s.pos = got.Position()
	id := got.Epoch<<32 | got.Number
	switch {
	case got.Flags.Has(framelog.Final):
		s.ending = true
	case got.Flags.Has(framelog.Key) && id > s.skip:
		s.batches = append(s.batches[:len(s.batches):len(s.batches)], id)
		s.skip = id
	}
	if m.checkpoint(w, s) {
		w.pending = &modelPut{modelList{batches: s.batches}, w.seen.etag}
	}
}

// finishList writes the end, and closes.
func (m *model) finishList(w *modelWorker) {
	w.pending = &modelPut{modelList{batches: w.saved.batches, ended: true}, w.seen.etag}
	m.put(w)
	if there := m.store[w.broadcast]; !w.begun || there == nil || !there.ended {
		return
	}
	s := w.saved
	s.closed = true
	m.save(w, s)
	w.gone = true
}

// put writes the newest playlist that is pending, as tryPlaylist does. A worker
// that is gone may still have one on its way.
func (m *model) put(w *modelWorker) {
	if w.pending == nil {
		return
	}
	p := w.pending
	w.pending = nil
	there := m.store[w.broadcast]
	if there == nil {
		there = &modelList{}
	}
	if there.etag != w.seen.etag { // 412: look, and judge again
		w.seen = *there
	}
	if w.seen.etag > 0 {
		switch p.list.list().Against(w.seen.list()) {
		case hls.Contradicts:
			m.say("%s begins again", w.id)
			w.begun, w.looked = false, false
			return
		case hls.IsBehind:
			return
		}
	}
	m.lists++
	p.list.etag = m.lists
	m.check(w, there, &p.list)
	m.store[w.broadcast], w.seen = &p.list, p.list
}

// check is what viewers are promised.
func (m *model) check(w *modelWorker, was, is *modelList) {
	if len(is.batches) < len(was.batches) || was.ended && !is.ended {
		panic(fmt.Sprintf("%s takes the playlist of %s back: from %d, ended %t, to %d, %t", w.id, w.broadcast, len(was.batches), was.ended, len(is.batches), is.ended))
	}
	for i, b := range was.batches {
		if is.batches[i] != b {
			panic(fmt.Sprintf("%s forks the playlist of %s at %d: %x, was %x", w.id, w.broadcast, i, is.batches[i], b))
		}
	}
	var last uint64
	for i, b := range is.batches {
		if b <= last {
			panic(fmt.Sprintf("%s lists batch %x of %s at %d, behind %x", w.id, b, w.broadcast, i, last))
		}
		last = max(last, b)
	}
}

// logBorn tells logs apart that were made one after the other.
func (n *natsModel) logBorn() int { return n.logID >> 16 }
