package h264

import (
	"encoding/binary"
	"slices"
)

// Part is what a message holds of one access unit.
type Part struct {
	// Data is the access unit so far: NAL units, each behind its length of 4
	// bytes. It aliases the message, or the Assembler's memory until its next
	// Begin.
	Data []byte
	// Continues: of the access unit that the part before is of. Data holds that
	// one's, too, and takes its place.
	Continues bool
	// Orphan: the rest of an access unit whose beginning is not at hand. It
	// cannot be shown.
	Orphan bool
	// IDR, Recovery and Intra tell that the access unit holds an IDR picture, a
	// recovery point (D.1.8), nothing but slices that need no other picture.
	IDR, Recovery, Intra bool
	// Config is what is in force for the access unit. The pointer is another
	// one where, and only where, it has changed.
	Config *Config
}

// RandomAccess tells whether decoding can start with the access unit, which a
// container flagged as a key frame or not: a flag is believed only where the
// slices bear it out.
func (p *Part) RandomAccess(flagged bool) bool {
	return p.IDR || p.Recovery || flagged && p.Intra
}

// Assembler puts access units together out of the messages of a container, by
// the NAL units in them (ITU-T H.264, 7.4.1.2): a message may hold one access
// unit, as FLV means it, several, or a part of one. It keeps the parameter
// sets in force: those last seen, in a sequence header or in band.
//
// The zero Assembler is ready. It is not safe for concurrent use.
type Assembler struct {
	in         *sets
	lengthSize int
	split      bool

	open   openUnit
	prefix []byte // units of the access unit to come, behind their lengths
	// recovery tells that prefix holds a recovery point.
	recovery bool

	units [][]byte // of the message
	arena []byte   // what had to be written anew, since Begin
}

// openUnit is the access unit that the next message may go on with.
type openUnit struct {
	seen   bool // it has a slice
	last   slice
	first  bool // a slice of it begins with its first macroblock
	fields int
	part   Part
	from   int  // where it begins in the arena, -1: it is not at its end
	given  bool // it was given out for good
}

// Configure puts the Config of a sequence header in force. One that says what
// is in force already changes nothing.
func (a *Assembler) Configure(c Config) {
	a.lengthSize = c.LengthSize
	c.LengthSize = PartLengthSize
	if in := newSets(c, a.in); a.in == nil || !in.config.Same(&a.in.config) {
		a.in = in
	}
}

// Resume has the Assembler stand where another one stood: with config in force,
// messages of lengthSize, split or not.
func (a *Assembler) Resume(config *Config, lengthSize int, split bool) {
	a.Cut()
	a.in, a.lengthSize, a.split = newSets(*config, nil), lengthSize, split
}

// PartLengthSize is how many bytes stand before each NAL unit in Part.Data.
const PartLengthSize = 4

// Config returns what is in force, nil before there is any. Its LengthSize is
// PartLengthSize, whatever the sequence header says.
func (a *Assembler) Config() *Config {
	if a.in == nil {
		return nil
	}
	return &a.in.config
}

// Units is how many NAL units the last message of Add held, without those that
// hold not a byte.
func (a *Assembler) Units() int { return len(a.units) }

// Split tells whether access units come in several messages: whether the last
// one of Add may go on with the next message.
func (a *Assembler) Split() bool { return a.split }

// Begin tells that what was given out is used. Where access units are Split
// the last one is still open, and stays whole: its Data so far is returned, in
// its new place. Otherwise it ends here.
func (a *Assembler) Begin() (open []byte) {
	o := &a.open
	old := a.arena
	if cap(a.arena) > maxArena {
		a.arena = nil
	}
	a.arena = a.arena[:0]
	if !a.split {
		o.given = true
		return nil
	}
	if o.seen && !o.given && o.from >= 0 {
		a.arena = append(a.arena, old[o.from:]...) // to the front of the same memory, or to new one
		o.from, o.part.Data = 0, slices.Clip(a.arena)
	}
	return o.part.Data
}

// maxAccessUnit is the size at which an access unit that goes on and on is given
// up: half a minute of 4 Mbit/s in one picture.
const maxAccessUnit = 16 << 20

// maxArena is how much memory is kept for what has to be written anew.
const maxArena = 1 << 20

// Cut forgets the access unit that is open and what has come of the next one:
// whoever begins with the next message knows neither.
func (a *Assembler) Cut() {
	a.open, a.prefix, a.recovery, a.arena = openUnit{}, a.prefix[:0], false, a.arena[:0]
}

// Add takes a message with coded pictures, and appends what it holds of each
// access unit. Units without a picture wait for the next message. whole is
// false where the message is damaged: what can be read of it is there.
func (a *Assembler) Add(dst []Part, p []byte) (parts []Part, whole bool) {
	if a.in == nil {
		a.Configure(Config{LengthSize: PartLengthSize})
	}
	units, plain, whole := split(a.units[:0], p, a.lengthSize)
	a.units = units
	m := message{a: a, units: units, lead: -1}
	for i, nal := range units {
		dst = m.unit(dst, i, nal)
	}
	if plain >= 0 && m.from == 0 && m.seen && len(a.prefix) == 0 && !a.split {
		m.whole = p[:plain:plain]
	}
	return m.end(dst), whole
}

// message is the walk over one message's units.
type message struct {
	a     *Assembler
	units [][]byte
	from  int    // the first unit that is not given out
	lead  int    // the first unit behind the last slice that may begin the next access unit, or -1
	seen  bool   // there has been a slice since from
	whole []byte // the message, where it is one access unit as it stands
	// recovery tells of the units from lead on.
	recovery bool
}

// unit looks at the next unit.
func (m *message) unit(dst []Part, i int, nal []byte) []Part {
	a := m.a
	switch t := TypeOf(nal); t {
	case Slice, PartitionA, IDR:
		s := parseSlice(nal, a.in)
		begins := a.begins(&s, m.seen)
		if begins && m.seen {
			dst = m.give(dst, i)
		}
		a.slice(s, begins, m.seen)
		a.open.part.Recovery = a.open.part.Recovery || m.recovery || a.recovery
		m.seen, m.lead, m.recovery, a.recovery = true, -1, false, false
	case SEI, SequenceParams, PictureParams, Delimiter, SPSExtension, 14, 15, 16, 17, 18:
		if m.lead < 0 {
			m.lead = i
		}
		m.recovery = m.recovery || t == SEI && hasRecoveryPoint(nal)
		if (t == SequenceParams || t == PictureParams || t == SPSExtension) && !a.in.has(nal) {
			a.in = a.in.with(nal)
		}
	}
	return dst
}

// begins tells whether s is the first slice of a picture, and not of the same
// sample as the field before it (7.4.1.2.4). within: that one is in the same
// message.
func (a *Assembler) begins(s *slice, within bool) bool {
	o := &a.open
	switch {
	case !o.seen:
		return true
	case s.differs(&o.last):
		return !within || o.fields != 1 || !s.pairs(&o.last)
	}
	return s.first == 0 && (o.first || !s.known)
}

// slice notes a slice, of a new access unit or of the open one.
func (a *Assembler) slice(s slice, begins, within bool) {
	o := &a.open
	if begins {
		orphan := !o.seen && s.first != 0
		if s.idr {
			a.in = a.in.using(s.pps)
		}
		*o = openUnit{seen: true, fields: 1, from: -1, part: Part{Orphan: orphan, Intra: true, Config: &a.in.config}}
	} else if !within && !o.part.Continues {
		a.split = a.split || !o.part.Orphan
		o.part.Continues = true
		o.part.Orphan = o.part.Orphan || o.given || len(o.part.Data) > maxAccessUnit
	}
	if !begins && s.differs(&o.last) {
		o.fields, o.first = 2, false
	}
	o.last, o.first = s, o.first || s.first == 0
	o.part.IDR = o.part.IDR || s.idr
	o.part.Intra = o.part.Intra && s.intra()
}

// give gives out the open access unit: the next one begins with unit i, or
// with those that lead up to it.
func (m *message) give(dst []Part, i int) []Part {
	if m.lead >= 0 {
		i = m.lead
	}
	dst = append(dst, m.part(m.units[m.from:i]))
	m.from = i
	return dst
}

// end gives out what is left of the message.
func (m *message) end(dst []Part) []Part {
	a := m.a
	rest := m.units[m.from:]
	if !m.seen {
		a.keep(rest)
		a.recovery = a.recovery || m.recovery
		return dst
	}
	if !a.split || m.lead < 0 {
		return append(dst, m.part(rest))
	}
	// What follows the last slice may be the next access unit's.
	dst = append(dst, m.part(m.units[m.from:m.lead]))
	a.keep(m.units[m.lead:])
	a.recovery = m.recovery
	return dst
}

// keep holds units for the access unit to come. Too many are no picture's.
func (a *Assembler) keep(units [][]byte) {
	for _, nal := range units {
		if len(a.prefix)+len(nal) < maxArena {
			a.prefix = appendUnit(a.prefix, nal)
		}
	}
}

// part makes the open access unit's Part, with more units.
func (m *message) part(units [][]byte) Part {
	a, o := m.a, &m.a.open
	if o.part.Continues && o.part.Orphan {
		o.part.Continues = false
		return Part{Continues: true, Orphan: true, Config: o.part.Config}
	}
	if m.whole != nil {
		o.part.Data, o.from = m.whole, -1
		return o.part
	}
	if o.from < 0 {
		o.from = len(a.arena)
		a.arena = append(a.arena, o.part.Data...)
	}
	a.arena = append(a.arena, a.prefix...)
	a.prefix = a.prefix[:0]
	for _, nal := range units {
		a.arena = appendUnit(a.arena, nal)
	}
	o.part.Data = slices.Clip(a.arena[o.from:])
	part := o.part
	o.part.Continues = false
	return part
}

func appendUnit(dst, nal []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(nal)))
	return append(dst, nal...)
}
