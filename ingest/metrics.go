package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"weir/media"
)

// Metrics counts what sessions do. No label ever holds what a peer sent.
type Metrics struct {
	sessions prometheus.Gauge
	buffered prometheus.Gauge
	batches  prometheus.Counter
	stored   prometheus.Counter
	lost     prometheus.Counter
	stalled  prometheus.Counter
	failures prometheus.Counter
	latency  prometheus.Histogram
	ended    *prometheus.CounterVec
	dropped  *prometheus.CounterVec
}

// NewMetrics registers the metrics of one Publisher with r, which may be nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "weir_ingest_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "weir_ingest_" + name, Help: help})
	}
	m := &Metrics{
		sessions: gauge("sessions", "Sessions that publish."),
		buffered: gauge("buffer_bytes", "Memory of batches that wait for the frame log or grow."),
		batches:  counter("batches_total", "Batches stored in the frame log."),
		stored:   counter("stored_bytes_total", "Bytes of the batches stored in the frame log."),
		lost:     counter("lost_bytes_total", "Bytes of tags that were received and did not reach the frame log."),
		stalled:  counter("stalled_seconds_total", "Time in which sessions did not read because their buffer was full."),
		failures: counter("append_failures_total", "Batches that the frame log did not take."),
		latency: f.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_ingest_append_seconds", Help: "Time until the frame log had stored a batch.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		ended: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_ingest_sessions_ended_total", Help: "Sessions that ended.",
		}, []string{"reason"}),
		dropped: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_ingest_dropped_total", Help: "Tags that reach no frame log, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []media.DropReason{media.DropStream, media.DropUnread, media.DropFenced} {
		m.dropped.WithLabelValues(reason.String())
	}
	return m
}

// drop counts tags that reach no log.
func (m *Metrics) drop(reason media.DropReason, n int) {
	m.dropped.WithLabelValues(reason.String()).Add(float64(n))
}

func (m *Metrics) appended(bytes int, took time.Duration, err error) {
	if err != nil {
		m.failures.Inc()
		return
	}
	m.batches.Inc()
	m.stored.Add(float64(bytes))
	m.latency.Observe(took.Seconds())
}
