package mpegts

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Limits of a Demuxer: what a stream may make it hold.
const (
	// MaxPES is the longest PES packet, in bytes; the rest of a longer one is
	// dropped.
	MaxPES = 16 << 20
	// maxPrograms and maxStreams are how many it follows.
	maxPrograms = 16
	maxStreams  = 64
)

// EventType says what an Event is.
type EventType uint8

// The types of events.
const (
	EventPAT   EventType = iota + 1
	EventPMT             // of the PMT PID that the PAT names
	EventPES             // a PES packet has ended
	EventPCR             // a program clock reference
	EventFault           // a rule is broken; demuxing goes on
)

// Event is one thing that a Demuxer found.
type Event struct {
	Type EventType
	// Packet is the index of the transport packet that brought it, from 0.
	Packet int64
	PID    uint16

	PAT PAT
	PMT PMT
	PES PES
	// PCR is at 27 MHz, wrapping at 2^33 * 300. Discontinued is the packet's
	// discontinuity_indicator: a new time base begins with this PCR (ISO/IEC 13818-1, 2.4.3.5).
	PCR          int64
	Discontinued bool
	// Err is what is wrong: ErrContinuity or ErrMalformed is in its chain.
	Err error
}

// ErrContinuity is the fault of a continuity_counter that does not count on
// from the packet before it on its PID (ISO/IEC 13818-1, 2.4.3.3): packets are missing, doubled
// or out of order.
var ErrContinuity = errors.New("continuity counter error")

var (
	errPrograms  = fmt.Errorf("%w: more than %d programs, this reader's limit", ErrMalformed, maxPrograms)
	errStreams   = fmt.Errorf("%w: more than %d elementary streams, this reader's limit", ErrMalformed, maxStreams)
	errDamaged   = fmt.Errorf("%w: transport_error_indicator is set (ISO/IEC 13818-1, 2.4.3.3)", ErrMalformed)
	errScrambled = fmt.Errorf("%w: scrambled payload, this reader has no key (ISO/IEC 13818-1, 2.4.3.3)", ErrMalformed)
	errTail      = fmt.Errorf("%w: the stream ends inside a packet (ISO/IEC 13818-1, 2.4.3.2)", ErrMalformed)
)

// Demuxer takes a transport stream apart, packet by packet. It never gives up:
// what is wrong becomes an EventFault. Memory is bounded by the limits above
// and by the bytes pushed.
type Demuxer struct {
	packets int64
	pids    map[uint16]*counter
	tables  map[uint16]*assembler // by PID: the PAT and the PMTs it names
	streams map[uint16]*stream    // by PID, as the PMTs name them
	events  []Event
}

// counter follows the continuity_counter of one PID.
type counter struct {
	last    uint8
	doubled bool // the last packet was a duplicate
	payload []byte
}

// stream puts together the PES packets of one PID.
type stream struct {
	pmt        uint16 // the PID of the PMT that names it
	typ        StreamType
	open       bool // a PES packet has begun
	outside    bool // and payload outside of one has been told
	pes        PES
	buf, spare []byte // the spare one is behind the last event's Data
}

// NewDemuxer returns a Demuxer at the start of a stream.
func NewDemuxer() *Demuxer {
	return &Demuxer{
		pids:    map[uint16]*counter{},
		tables:  map[uint16]*assembler{patPID: {}},
		streams: map[uint16]*stream{},
	}
}

// Demux ranges over the events of a whole stream, a segment's body say. Event
// data is valid until the next event of a later packet.
func Demux(ts []byte) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		d := NewDemuxer()
		for len(ts) >= PacketSize {
			for _, e := range d.Push(ts[:PacketSize]) {
				if !yield(e) {
					return
				}
			}
			ts = ts[PacketSize:]
		}
		for _, e := range d.Flush() {
			if !yield(e) {
				return
			}
		}
		if len(ts) > 0 {
			yield(Event{Type: EventFault, Packet: d.packets, Err: errTail})
		}
	}
}

// Push takes the next packet, 188 bytes, and returns what it completes. The
// events and their data are valid until the next call.
func (d *Demuxer) Push(packet []byte) []Event {
	d.events = d.events[:0]
	p, err := ParsePacket(packet)
	switch {
	case err != nil:
		d.fault(0, err)
	case p.Damaged:
		d.fault(p.PID, errDamaged)
	default:
		d.take(&p)
	}
	d.packets++
	return d.events
}

// Flush ends the stream: it returns the PES packets that are still open, by
// PID. The Demuxer may then take another stretch of the same stream.
func (d *Demuxer) Flush() []Event {
	d.events = d.events[:0]
	open := make([]uint16, 0, len(d.streams))
	for pid, s := range d.streams {
		if s.open {
			open = append(open, pid)
		}
	}
	slices.Sort(open)
	for _, pid := range open {
		d.finish(pid, d.streams[pid])
	}
	return d.events
}

func (d *Demuxer) fault(pid uint16, err error) {
	d.events = append(d.events, Event{Type: EventFault, Packet: d.packets, PID: pid, Err: err})
}

func (d *Demuxer) take(p *Packet) {
	if p.PID == nullPID {
		return
	}
	lost, duplicate := d.count(p)
	if lost {
		d.fault(p.PID, ErrContinuity)
	}
	if duplicate {
		return
	}
	if p.HasPCR {
		d.events = append(d.events, Event{Type: EventPCR, Packet: d.packets, PID: p.PID, PCR: p.PCR, Discontinued: p.Discontinued})
	}
	if !p.HasPayload {
		return
	}
	table, stream := d.tables[p.PID], d.streams[p.PID]
	if table == nil && stream == nil {
		return
	}
	if p.Scrambling != 0 {
		d.fault(p.PID, errScrambled)
		return
	}
	if table != nil {
		d.table(p, table, lost)
		return
	}
	d.stream(p, stream, lost)
}

// count checks the continuity_counter (ISO/IEC 13818-1, 2.4.3.3): it counts packets with
// payload, and a packet may be sent twice, the same but for its PCR.
func (d *Demuxer) count(p *Packet) (lost, duplicate bool) {
	c := d.pids[p.PID]
	if c == nil {
		c = &counter{last: p.Continuity}
		d.pids[p.PID] = c
	} else if p.HasPayload {
		switch {
		case p.Continuity == c.last && !c.doubled && c.payload != nil && bytes.Equal(c.payload, p.Payload):
			c.doubled = true
			return false, true
		case p.Continuity != (c.last+1)&0x0f:
			lost = !p.Discontinued
		}
	} else if p.Continuity != c.last {
		lost = !p.Discontinued
	}
	c.last, c.doubled = p.Continuity, false
	if p.HasPayload {
		c.payload = append(c.payload[:0], p.Payload...)
	}
	return lost, false
}

func (d *Demuxer) table(p *Packet, a *assembler, lost bool) {
	if lost {
		a.reset()
	}
	err := a.push(p.Start, p.Payload, func(b []byte) {
		if err := d.section(p.PID, b); err != nil {
			d.fault(p.PID, err)
		}
	})
	if err != nil {
		d.fault(p.PID, err)
	}
}

// section takes a whole section of the PAT or of a PMT.
func (d *Demuxer) section(pid uint16, b []byte) error {
	s, err := parseSection(b)
	if err != nil {
		return err
	}
	if !s.current { // current_next_indicator: "the next table to become valid"
		return nil
	}
	switch {
	case pid == patPID && s.table == tablePAT:
		t, err := s.pat()
		if err != nil {
			return err
		}
		d.events = append(d.events, Event{Type: EventPAT, Packet: d.packets, PID: pid, PAT: t})
		return d.programs(t, s.number == 0)
	case pid != patPID && s.table == tablePMT:
		t, err := s.pmt()
		if err != nil {
			return err
		}
		d.events = append(d.events, Event{Type: EventPMT, Packet: d.packets, PID: pid, PMT: t})
		return d.follow(pid, t)
	}
	return errTable
}

// programs follows the PMTs that a PAT names; its first section begins a new
// list.
func (d *Demuxer) programs(t PAT, first bool) error {
	named := map[uint16]bool{}
	for _, p := range t.Programs {
		if p.Number == 0 || p.PMT == patPID || p.PMT == nullPID {
			continue
		}
		named[p.PMT] = true
		if d.tables[p.PMT] != nil {
			continue
		}
		if len(d.tables) > maxPrograms {
			return errPrograms
		}
		d.tables[p.PMT] = &assembler{}
	}
	if !first {
		return nil
	}
	for pid := range d.tables {
		if pid != patPID && !named[pid] {
			delete(d.tables, pid)
		}
	}
	for pid, s := range d.streams {
		if d.tables[s.pmt] == nil {
			delete(d.streams, pid)
		}
	}
	return nil
}

// follow takes over the streams that a PMT names.
func (d *Demuxer) follow(pmt uint16, t PMT) error {
	for pid, s := range d.streams {
		if s.pmt == pmt && !slices.Contains(t.Streams, ElementaryStream{PID: pid, Type: s.typ}) {
			delete(d.streams, pid)
		}
	}
	for _, es := range t.Streams {
		if d.streams[es.PID] != nil || d.tables[es.PID] != nil {
			continue
		}
		if len(d.streams) == maxStreams {
			return errStreams
		}
		d.streams[es.PID] = &stream{pmt: pmt, typ: es.Type}
	}
	return nil
}

// stream takes a packet's payload into the PES packet of its PID.
func (d *Demuxer) stream(p *Packet, s *stream, lost bool) {
	if lost {
		s.pes.Damaged = true
	}
	if p.Start {
		if s.open {
			// The loss may be of this PES packet's end.
			d.finish(p.PID, s)
		}
		s.open, s.outside, s.buf = true, false, s.buf[:0]
		s.pes = PES{PID: p.PID, Type: s.typ, Packet: d.packets, RandomAccess: p.RandomAccess}
	}
	if !s.open {
		if !s.outside && !lost {
			d.fault(p.PID, errPESOutside)
		}
		s.outside = true
		return
	}
	if room := MaxPES - len(s.buf); len(p.Payload) > room {
		if !s.pes.Damaged {
			d.fault(p.PID, errPESTooLong)
		}
		s.pes.Damaged = true
		p.Payload = p.Payload[:room]
	}
	s.buf = append(s.buf, p.Payload...)
	if n := declared(s.buf); n > 0 && len(s.buf) >= n {
		d.finish(p.PID, s)
	}
}

// declared returns the size that a PES packet's head declares, the head
// included; 0 where it is unbounded or not yet there.
func declared(b []byte) int {
	if len(b) < pesHead || b[4] == 0 && b[5] == 0 {
		return 0
	}
	return pesHead + int(b[4])<<8 + int(b[5])
}

// finish ends the open PES packet of s.
func (d *Demuxer) finish(pid uint16, s *stream) {
	s.open = false
	b := s.buf
	s.buf, s.spare = s.spare, s.buf
	if n := declared(b); n > len(b) {
		s.pes.Damaged = true
		d.fault(pid, errPESLength)
	} else if n > 0 && n < len(b) {
		d.fault(pid, errPESExtra)
		b = b[:n]
	}
	if err := s.pes.parse(b); err != nil {
		d.fault(pid, err)
		return
	}
	d.events = append(d.events, Event{Type: EventPES, Packet: d.packets, PID: pid, PES: s.pes})
}
