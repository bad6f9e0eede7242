//go:build soak

package bus

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
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
	rev    uint64
	owner  string
	next   int // batches that are listed
	pos    framelog.Position
	skip   uint64 // adopted: epoch<<32|number that is listed already
	ending bool
	closed bool
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

func (l *modelList) place() hls.Place {
	return hls.Place{Next: uint64(len(l.batches)), Ended: l.ended}
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
	batches   []uint64 // of its playlist, as saved
	pending   []modelPut
	seen      int // etag
	gone      bool
}

type modelPut struct {
	list modelList
	over int // etag that it expects
}

// model is one schedule.
type model struct {
	rng      *rand.Rand
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
	trace    []string
}

func newModel(seed uint64) *model {
	m := &model{rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0), store: make(map[string]*modelList), faults: 4}
	m.nats = &natsModel{states: make(map[string]modelState)}
	m.old = m.nats.clone()
	m.view = newOverview(10 * time.Second)
	m.view.synced = true
	return m
}

func (m *model) say(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
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
	if m.decide(e) && m.rng.IntN(3) > 0 { // or it dies right then
		m.mark(e.Broadcast, e, flags)
	}
}

// supervise does one duty of those that are due, which may be late news.
func (m *model) supervise() {
	m.now = m.now.Add(time.Duration(m.rng.IntN(3000)) * time.Millisecond)
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
	d := due[m.rng.IntN(len(due))]
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
	if m.rng.IntN(4) > 0 {
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

// save is Claim.Save.
func (m *model) save(w *modelWorker, s modelState) bool {
	s.owner = w.id
	for range 2 {
		now, there := m.nats.states[w.broadcast]
		if there && now.rev == w.saved.rev && w.born == m.nats.born {
			m.nats.seq++
			s.rev = m.nats.seq
			m.nats.states[w.broadcast], w.saved = s, s
			return true
		}
		head := stateHead{Owner: now.owner, Closed: now.closed}
		if !lostClaim(w.born == m.nats.born, there, head, now.rev, w.saved.rev) {
			return false
		}
		m.say("%s writes its claim anew", w.id)
		w.born, w.saved.rev = m.nats.born, now.rev
		if !there { // as if a key of revision 0 were there
			m.nats.states[w.broadcast] = modelState{}
			w.saved.rev = 0
		}
	}
	return false
}

// claim begins a worker's life on a broadcast that may be had.
func (m *model) claim() {
	var free []string
	for b, s := range m.nats.states {
		owned := slices.ContainsFunc(m.workers, func(w *modelWorker) bool { return w.id == s.owner && !w.gone })
		if !s.closed && (!owned || m.faults > 0 && m.rng.IntN(10) == 0) {
			free = append(free, b)
		}
	}
	if len(free) == 0 {
		return
	}
	slices.Sort(free)
	b := free[m.rng.IntN(len(free))]
	m.lives++
	w := &modelWorker{id: fmt.Sprint("w", m.lives), broadcast: b, saved: m.nats.states[b], born: m.nats.born}
	s := w.saved
	if !m.save(w, s) {
		return
	}
	m.say("%s claims %s at %d", w.id, b, s.next)
	if l := m.store[b]; l != nil { // adopt
		w.seen, w.batches = l.etag, slices.Clone(l.batches)
		beyond := !s.ending && (len(l.batches) > s.next || l.ended)
		w.batches = w.batches[:min(len(w.batches), max(s.next, len(l.batches)*b2i(beyond)))]
		if beyond {
			m.say("%s adopts %d of %d, ended %t", w.id, len(l.batches), s.next, l.ended)
			s.next, s.ending = len(l.batches), l.ended
			if len(l.batches) > 0 {
				s.skip = l.batches[len(l.batches)-1]
			}
			if !m.save(w, s) {
				return
			}
		}
	}
	for len(w.batches) < s.next { // of a State that the store has not listed yet
		w.batches = append(w.batches, 0)
	}
	if s.next > 0 && len(w.batches) == s.next && w.batches[s.next-1] == 0 {
		w.batches = w.batches[:s.next]
	}
	m.workers = append(m.workers, w)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// work is a step of a worker: read a message, save what it brings.
func (m *model) work(w *modelWorker) {
	if w.gone {
		return
	}
	if w.saved.ending {
		m.finishList(w)
		return
	}
	if w.reader == nil || w.log != m.nats.logID {
		w.reader = newReader(w.saved.pos, nil, func(uint64, error) {})
		w.log, w.at = m.nats.logID, 0
		w.reader.begin(fmt.Sprint(m.nats.born, "/", m.nats.logBorn()), m.nats.logSeq)
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
		s.next++
		w.batches = append(w.batches[:s.next-1:s.next-1], id)
		s.skip = id
	}
	if !m.save(w, s) {
		m.say("%s is not the owner", w.id)
		w.gone = true
		return
	}
	w.pending = append(w.pending, modelPut{modelList{batches: slices.Clone(w.batches)}, w.seen})
}

// finishList writes the end, and closes.
func (m *model) finishList(w *modelWorker) {
	l := modelList{batches: slices.Clone(w.batches), ended: true}
	w.pending = append(w.pending[:0], modelPut{l, w.seen})
	m.put(w)
	if there := m.store[w.broadcast]; there == nil || !there.ended {
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
	if len(w.pending) == 0 {
		return
	}
	p := w.pending[len(w.pending)-1]
	w.pending = nil
	there := m.store[w.broadcast]
	if there == nil {
		there = &modelList{}
	}
	if there.etag != w.seen { // 412: look, and judge again
		w.seen = there.etag
	}
	if there.etag > 0 && p.list.place().Behind(there.place()) {
		return
	}
	m.lists++
	p.list.etag = m.lists
	for i := range p.list.batches { // what the State says and this life never saw
		if p.list.batches[i] == 0 && i < len(there.batches) {
			p.list.batches[i] = there.batches[i]
		}
	}
	m.check(w, there, &p.list)
	m.store[w.broadcast], w.seen = &p.list, p.list.etag
}

// check is what viewers are promised.
func (m *model) check(w *modelWorker, was, is *modelList) {
	if len(is.batches) < len(was.batches) || was.ended && !is.ended {
		panic(fmt.Sprintf("%s takes the playlist of %s back: from %d, ended %t, to %d, %t", w.id, w.broadcast, len(was.batches), was.ended, len(is.batches), is.ended))
	}
	for i, b := range was.batches {
		if is.batches[i] != b && b != 0 && is.batches[i] != 0 {
			panic(fmt.Sprintf("%s forks the playlist of %s at %d: %x, was %x", w.id, w.broadcast, i, is.batches[i], b))
		}
	}
	var last uint64
	for i, b := range is.batches {
		if b != 0 && b <= last {
			panic(fmt.Sprintf("%s lists batch %x of %s at %d, behind %x", w.id, b, w.broadcast, i, last))
		}
		last = max(last, b)
	}
}

// logBorn tells logs apart that were made one after the other.
func (n *natsModel) logBorn() int { return n.logID >> 16 }

// harm is something that happens to NATS.
func (m *model) harm() {
	if m.faults--; m.faults < 0 {
		return
	}
	for _, w := range m.workers { // see docs/decisions: what the model leaves out
		m.put(w)
		if s := m.nats.states[w.broadcast]; s.owner != w.id || s.rev != w.saved.rev {
			w.gone = true // it was told
		}
	}
	id := m.nats.logID
	switch m.rng.IntN(6) {
	case 0:
		m.say("the log is made anew")
		m.nats.log, m.nats.logSeq = nil, 0
		m.nats.logID = (id>>16+1)<<16 + id&0xffff + 1
	case 1:
		m.say("the registry is made anew")
		m.nats.reg = Registration{}
	case 2:
		m.say("the States are made anew")
		m.nats.born++
		m.nats.states = make(map[string]modelState)
	case 3:
		m.say("all is made anew")
		m.nats = &natsModel{born: m.nats.born + 1, logID: (id>>16+1)<<16 + id&0xffff + 1, states: make(map[string]modelState)}
	case 4:
		m.say("NATS goes back")
		born, made := m.nats.born, id>>16
		m.nats = m.old.clone()
		if m.nats.born == born && m.nats.logID>>16 == made {
			m.nats.logID = id + 1
		} else {
			m.nats.born, m.nats.logID = born+1, (made+1)<<16+id&0xffff+1
		}
	default:
		m.old = m.nats.clone() // what is on disk from now on
	}
}

// step is one step of a schedule.
func (m *model) step() {
	switch r := m.rng.IntN(100); {
	case r < 30:
		m.publish()
	case r < 34:
		m.leave(m.rng.IntN(3))
	case r < 48:
		m.supervise()
	case r < 54:
		m.claim()
	case r < 60 && m.faults > 0:
		m.harm()
	case r < 63 && len(m.workers) > 0:
		m.workers[m.rng.IntN(len(m.workers))].gone = true
	case len(m.workers) > 0:
		w := m.workers[m.rng.IntN(len(m.workers))]
		if m.rng.IntN(3) == 0 {
			m.put(w)
		} else {
			m.work(w)
		}
	}
}

// settleAll lets the show end, and everybody work until nothing is left.
func (m *model) settleAll() {
	m.faults = 0
	m.leave(0)
	for i := range 600 {
		for b, l := range m.store { // an operator who compares store and registry: no verb does it yet
			if _, there := m.nats.states[b]; !there && !l.ended && i%50 == 49 {
				m.announce(b)
			}
		}
		m.supervise()
		m.now = m.now.Add(time.Second)
		m.claim()
		for _, w := range m.workers {
			m.work(w)
			m.put(w)
		}
	}
	for b, l := range m.store {
		if !l.ended {
			panic("the playlist of " + b + " has no end")
		}
	}
	for b, s := range m.nats.states {
		if !s.closed {
			panic(fmt.Sprintf("%s is not closed: %+v", b, s))
		}
	}
}

// explore runs one schedule, and returns its fault and what led to it.
func explore(seed uint64) (fault string, trace []string) {
	m := newModel(seed)
	defer func() {
		if p := recover(); p != nil {
			fault, trace = fmt.Sprint(p), m.trace
		}
	}()
	for range 120 {
		m.step()
	}
	m.settleAll()
	return "", nil
}

// keptSeeds have found faults, of the project or of the model.
var keptSeeds = []uint64{1}

// TestModel explores schedules at random: WEIR_SCHEDULES of them, or a few
// thousand.
func TestModel(t *testing.T) {
	t.Parallel()
	n := uint64(2000)
	if s := os.Getenv("WEIR_SCHEDULES"); s != "" {
		if err := json.Unmarshal([]byte(s), &n); err != nil {
			t.Fatal(err)
		}
	}
	seeds := slices.Clone(keptSeeds)
	for seed := range n {
		seeds = append(seeds, 1000+seed)
	}
	failed := 0
	for _, seed := range seeds {
		if fault, trace := explore(seed); fault != "" {
			t.Errorf("seed %d: %s\n\t%s", seed, fault, strings.Join(trace, "\n\t"))
			if failed++; failed == 3 {
				return
			}
		}
	}
}
