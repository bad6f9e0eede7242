package segmenter

import "sync"

// decisions are what a State holds beside what follows from the log. The
// Segmenter runs ahead of them: each State has them put in before it is saved.
type decisions struct {
	mu    sync.Mutex
	names map[uint64]string // of segments that go by another one than their own
	// forgotten and vodLength are as in State.
	forgotten, vodLength uint64
}

// apply puts them into a State. A name goes with its segment's entry from
// there on.
func (d *decisions) apply(s *State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Forgotten, s.VODLength = d.forgotten, d.vodLength
	d.nameAll(s.First, s.Entries)
}

// applyTo puts them into entries, the first of media sequence first, that have
// left their State.
func (d *decisions) applyTo(first uint64, entries []Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nameAll(first, entries)
}

func (d *decisions) nameAll(first uint64, entries []Entry) {
	for sequence, uri := range d.names {
		if i := sequence - first; sequence >= first && i < uint64(len(entries)) {
			entries[i].URI = uri
		}
	}
}

func (d *decisions) rename(sequence uint64, uri string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = make(map[uint64]string)
	}
	d.names[sequence] = uri
}

func (d *decisions) forget(segments uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgotten = segments
}

// vodDue decides whether vod.m3u8 is to be rewritten: when it has grown by a
// quarter, so that all rewrites of a broadcast together cost a constant per
// segment.
func (d *decisions) vodDue(s *State) bool {
	if s.Forget {
		return false // an EVENT playlist keeps what it has listed (RFC 8216, 4.3.3.5)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := s.Next(); n >= d.vodLength+max(1, d.vodLength/4) {
		d.vodLength, s.VODLength = n, n
		return true
	}
	return false
}
