package segmenter

import "sync"

// What a Budget should be, of a process.
const (
	DefaultAheadBytes    = 64 << 20
	DefaultAheadRequests = 64
)

// Budget bounds the uploads that run ahead, over all Jobs that share it. The
// oldest upload of each Job needs none of it, so that no Job ever waits for
// another's. A nil Budget has nothing to give.
type Budget struct {
	mu       sync.Mutex
	bytes    int64
	requests int
}

// NewBudget returns a Budget of so many bytes of segments, in so many
// requests.
func NewBudget(bytes int64, requests int) *Budget {
	return &Budget{bytes: bytes, requests: requests}
}

// take takes one request of size bytes, if that much is left.
func (b *Budget) take(size int64) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes < size || b.requests < 1 {
		return false
	}
	b.bytes -= size
	b.requests--
	return true
}

func (b *Budget) give(size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += size
	b.requests++
}
