package endpoint

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts connections. No label ever holds what a peer sent.
type Metrics struct {
	connections prometheus.Gauge
	received    prometheus.Counter
	refused     *prometheus.CounterVec
}

// NewMetrics registers the metrics of one Server with r, which may be nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	return &Metrics{
		connections: f.NewGauge(prometheus.GaugeOpts{Name: "weir_ingest_connections", Help: "Open connections."}),
		received:    f.NewCounter(prometheus.CounterOpts{Name: "weir_ingest_received_bytes_total", Help: "Bytes read from encoders."}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_ingest_refused_total", Help: "Connections and publishes that were refused.",
		}, []string{"reason"}),
	}
}
