package segmenter

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/hls"
	"weir/media"
)

// Metrics counts what a Worker does. A nil *Metrics counts nothing.
type Metrics struct {
	segments, bytes, batches, media    prometheus.Counter
	lostFrames, lostBatches, lostMedia prometheus.Counter
	drops                              *prometheus.CounterVec
	commit                             prometheus.Histogram

	mu sync.Mutex
	// until is the wall clock to which each rendition under way is listed.
	until map[*packager]time.Time
}

// NewMetrics registers the segmenter's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "weir", Subsystem: "segmenter", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	m := &Metrics{
		until:       make(map[*packager]time.Time),
		segments:    counter("segments_total", "Segments stored and listed."),
		bytes:       counter("segment_bytes_total", "Bytes of the segments stored."),
		media:       counter("media_seconds_total", "Media time of the segments stored."),
		batches:     counter("batches_total", "Batches read from the frame log."),
		lostFrames:  counter("lost_frames_total", "Frames that could not be stored: before the first key frame, without a codec configuration, or damaged."),
		lostBatches: counter("lost_batches_total", "Times that batches had aged out of the frame log before they were read."),
		lostMedia:   counter("lost_media_seconds_total", "Media time of those batches, as far as it is known: listed as EXT-X-GAP."),
		drops: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "weir", Subsystem: "segmenter", Name: "dropped_total",
			Help: "Frames, and parts of them, that are in no segment, by reason."}, []string{"reason"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "weir", Subsystem: "segmenter", Name: "commit_seconds",
			Help: "From a segment's end to its listing.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
	}
	for _, reason := range media.DropReasons() {
		m.drops.WithLabelValues(reason.String())
	}
	r.MustRegister(m.drops, m.commit, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "weir", Subsystem: "segmenter", Name: "behind_seconds",
		Help: "How long ago the last listed segment ended, of the rendition that is furthest behind. Up to a segment and a half is normal."},
		func() float64 { return m.behind(time.Now()).Seconds() }))
	return m
}

func (m *Metrics) batch() {
	if m != nil {
		m.batches.Inc()
	}
}

// enter begins to watch how far behind a rendition is: until nothing is listed
// of it, since now.
func (m *Metrics) enter(p *packager, now time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until[p] = now
}

// listed notes to which wall clock a rendition is listed. The zero time: there
// is nothing to list at present, its encoder is away.
func (m *Metrics) listed(p *packager, s *hls.State) {
	if m == nil {
		return
	}
	var until time.Time
	if s.InSession {
		until = time.UnixMilli(s.WallEndMS)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until[p] = until
}

func (m *Metrics) leave(p *packager) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.until, p)
}

// behind is how far the last of all renditions is.
func (m *Metrics) behind(now time.Time) (most time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, until := range m.until {
		if !until.IsZero() {
			most = max(most, now.Sub(until))
		}
	}
	return most
}

// segment counts a segment that is now listed.
func (m *Metrics) segment(s *hls.Segment, took time.Duration) {
	if m == nil {
		return
	}
	m.segments.Inc()
	m.bytes.Add(float64(s.Entry.Bytes))
	m.media.Add(float64(s.Entry.DurationMS) / 1000)
	m.commit.Observe(took.Seconds())
}

// dropped counts what reached no segment.
func (m *Metrics) dropped(d media.Drops) {
	if m == nil {
		return
	}
	for _, reason := range media.DropReasons() {
		if n := d[reason]; n > 0 {
			m.drops.WithLabelValues(reason.String()).Add(float64(n))
		}
	}
}

// lost counts what a State says of losses, since the one before.
func (m *Metrics) lost(frames, batches uint64, millis int64) {
	if m == nil {
		return
	}
	m.lostFrames.Add(float64(frames))
	m.lostBatches.Add(float64(batches))
	m.lostMedia.Add(float64(millis) / 1000)
}
