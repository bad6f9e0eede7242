package storage

import (
	"errors"
	"sync/atomic"
)

// Usage counts requests and bytes by operation, as a price list sees them: in
// S3 each attempt counts, and so does each page of a List. It is safe for use
// by any number of goroutines, and its zero value is ready.
type Usage struct {
	Put, Get, Stat, List, Delete Count
}

// Count is one operation's line in a Usage.
type Count struct {
	// Requests sent, whatever their outcome.
	Requests atomic.Int64
	// Failed counts the requests among them that had no useful answer: the
	// store was out of reach, overloaded, full or said no. A missing object
	// and a Condition that did not hold are answers.
	Failed atomic.Int64
	// Bytes of bodies, written or read.
	Bytes atomic.Int64
}

// Operations yields the counts by the operations' names, for those who export
// them.
func (u *Usage) Operations(yield func(operation string, c *Count) bool) {
	_ = yield("put", &u.Put) && yield("get", &u.Get) && yield("stat", &u.Stat) &&
		yield("list", &u.List) && yield("delete", &u.Delete)
}

// note counts one request. A call that was refused for its key was none.
func (c *Count) note(bytes int64, err error) {
	if errors.Is(err, ErrKey) {
		return
	}
	c.Requests.Add(1)
	c.Bytes.Add(bytes)
	if err != nil && !isAnswer(err) {
		c.Failed.Add(1)
	}
}
