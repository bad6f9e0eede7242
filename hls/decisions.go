package hls

// Decisions are what a State holds beside what follows from the log: somebody
// took them once, and whoever goes on from the State keeps to them.
type Decisions struct {
	// Names are those of segments that go by another one than their own, by
	// media sequence. A name goes with its segment's entry from there on.
	Names map[uint64]string
	// Forgotten and VODLength are as in State.
	Forgotten, VODLength uint64
}

// Decide puts decisions into a State.
func (s *State) Decide(d Decisions) {
	s.Forgotten, s.VODLength = d.Forgotten, d.VODLength
	d.Name(s.First, s.Entries)
}

// Name puts the names into entries, the first of media sequence first.
func (d *Decisions) Name(first uint64, entries []Entry) {
	for sequence, name := range d.Names {
		if i := sequence - first; sequence >= first && i < uint64(len(entries)) {
			entries[i].URI = name
		}
	}
}

// VODDue tells whether vod.m3u8 is to be rewritten: when it has grown by a
// quarter, so that all rewrites of a broadcast together cost a constant per
// segment.
func (s *State) VODDue() bool {
	// An EVENT playlist keeps what it has listed (RFC 8216, 4.3.3.5).
	return !s.Forget && s.Next() >= s.VODLength+max(1, s.VODLength/4)
}
