package segmenter

import (
	"sync"

	"weir/hls"
)

// decisions are those of one rendition. The Cutter runs ahead of them: each
// State has them put in before it is saved.
type decisions struct {
	mu      sync.Mutex
	decided hls.Decisions
}

// newDecisions are those of a State. The names are in its entries.
func newDecisions(s *hls.State) *decisions {
	return &decisions{decided: hls.Decisions{Forgotten: s.Forgotten, VODLength: s.VODLength}}
}

// applyTo puts them into whatever takes them.
func (d *decisions) applyTo(to interface{ Decide(hls.Decisions) }) {
	d.mu.Lock()
	defer d.mu.Unlock()
	to.Decide(d.decided)
}

// name puts the names into entries, the first of media sequence first, that
// have left their State.
func (d *decisions) name(first uint64, entries []hls.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decided.Name(first, entries)
}

func (d *decisions) rename(sequence uint64, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.decided.Names == nil {
		d.decided.Names = make(map[uint64]string)
	}
	d.decided.Names[sequence] = name
}

func (d *decisions) forget(segments uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decided.Forgotten = segments
}

// vodDue decides whether vod.m3u8 is to be rewritten with s, which has what
// was decided before.
func (d *decisions) vodDue(s *hls.State) bool {
	if !s.VODDue() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decided.VODLength, s.VODLength = s.Next(), s.Next()
	return true
}
