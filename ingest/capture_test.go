package ingest

import (
	"testing"
	"time"

	"weir/internal/captures"
)

// TestCaptures makes batches of what real encoders sent.
func TestCaptures(t *testing.T) {
	captures.Each(t, func(t *testing.T, sent []byte) {
		p := newTestPublisher(Config{Batch: time.Millisecond})
		opened := 0
		for _, c := range captures.Understand(t, sent) {
			l := p.publish(t, "alice")
			l.send(c.Tags...)
			l.unpublish()
			if l.batcher.MediaAt().IsZero() {
				continue
			}
			checkBatches(t, BatcherConfig{}, c.Tags, p.log.ended(t, opened).pointers())
			opened++
		}
		if opened != len(p.log.sessions) {
			t.Errorf("%d sessions, want the %d with media", len(p.log.sessions), opened)
		}
	})
}
