package segmenter

import "sync/atomic"

// owed counts what was cut from the log and is not listed yet, which the claim
// is told of: a broadcast of which nothing comes any more, from whoever sends
// it, is not done for those who watch.
type owed struct {
	tell func(n int) // Job.Owe
	n    atomic.Int64
}

// add takes note of n more.
func (o *owed) add(n int) {
	if o.tell != nil && n != 0 {
		o.n.Add(int64(n))
		o.tell(n)
	}
}

// forgive takes all of it back.
func (o *owed) forgive() { o.add(-int(o.n.Load())) }
