package segmenter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what a Worker does. A nil *Metrics counts nothing.
type Metrics struct {
	segments, bytes, batches, lostFrames, lostBatches prometheus.Counter
	media                                             prometheus.Counter
	commit                                            prometheus.Histogram
}

// NewMetrics registers the segmenter's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "weir", Subsystem: "segmenter", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	m := &Metrics{
		segments:    counter("segments_total", "Segments stored and listed."),
		bytes:       counter("segment_bytes_total", "Bytes of the segments stored."),
		media:       counter("media_seconds_total", "Media time of the segments stored."),
		batches:     counter("batches_total", "Batches read from the frame log."),
		lostFrames:  counter("lost_frames_total", "Frames that could not be stored: before the first key frame, without a codec configuration, or damaged."),
		lostBatches: counter("lost_batches_total", "Times that batches had aged out of the frame log before they were read."),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "weir", Subsystem: "segmenter", Name: "commit_seconds",
			Help: "From a segment's end to its listing.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
	}
	r.MustRegister(m.commit)
	return m
}

func (m *Metrics) batch() {
	if m != nil {
		m.batches.Inc()
	}
}

// segment counts a segment that is now listed, and what the State says was
// lost since before.
func (m *Metrics) segment(s *Segment, lostFrames, lostBatches uint64, took time.Duration) {
	if m == nil {
		return
	}
	m.segments.Inc()
	m.bytes.Add(float64(s.Entry.Bytes))
	m.media.Add(float64(s.Entry.DurationMS) / 1000)
	m.lostFrames.Add(float64(lostFrames))
	m.lostBatches.Add(float64(lostBatches))
	m.commit.Observe(took.Seconds())
}
