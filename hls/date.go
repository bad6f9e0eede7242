package hls

import "weir/media/framelog"

// lateness is how far what comes is behind the session's wall clock: an
// encoder that pauses while its stamps stand still, or whose jump the timeline
// takes out, goes on with what is shown later than its place tells. It looks at
// the wall clock that ingest writes into each key batch.
type lateness struct {
	// Key is how late the last key batches were, in ms, the last one first. The
	// least of them counts: a network that stalls catches up.
	Key [lateKeys]int64 `json:"key,omitzero"`
}

const (
	// lateKeys are how many key batches in a row have to be late.
	lateKeys = 3
	// lateMS is how late is late: what networks do is less.
	lateMS = 2000
)

// of returns how late a batch is, in ms.
func (l *lateness) of(c *Cutter, b *framelog.Batch, r *reading) (ms int64, ok bool) {
	st := &c.state
	if !b.Flags.Has(framelog.Key) || b.Wall.IsZero() || !r.ok || !st.Started {
		return 0, false
	}
	return b.Wall.UnixMilli() - st.WallMS - millis(r.newest-st.SessionStart), true
}

// note notes a key batch.
func (l *lateness) note(c *Cutter, b *framelog.Batch, r *reading) {
	if ms, ok := l.of(c, b, r); ok {
		copy(l.Key[1:], l.Key[:])
		l.Key[0] = ms
	}
}

// correct moves the session's wall clock where a segment begins: at once by
// what the timeline takes out of the batch's stamps, and otherwise when it has
// been late for long enough to be sure.
func (l *lateness) correct(c *Cutter, b *framelog.Batch, r *reading) {
	ms, ok := l.of(c, b, r)
	if !ok || ms < lateMS {
		return
	}
	sure := ms
	for _, k := range l.Key[:lateKeys-1] {
		sure = min(sure, k)
	}
	before, after := &c.timeline, &r.timeline
	var taken int64
	if before.Video.Seen {
		taken = before.Video.Base - after.Video.Base
	}
	if before.Audio.Seen {
		taken = max(taken, before.Audio.Base-after.Audio.Base)
	}
	if by := max(sure, min(ms, millis(taken))); by >= lateMS {
		c.state.WallMS += by
		for i := range l.Key {
			l.Key[i] = max(0, l.Key[i]-by)
		}
	}
}
