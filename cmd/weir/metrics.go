package main

// What rooms count and do not export themselves.

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"weir/bus"
	"weir/endpoint"
	"weir/storage"
)

// newMetrics is a registry with the process' own figures.
func newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// storeCollector exports what a store was asked for.
type storeCollector struct {
	usage                   *storage.Usage
	requests, failed, bytes *prometheus.Desc
}

func registerStore(r prometheus.Registerer, s storage.Store) {
	operation := []string{"operation"}
	r.MustRegister(&storeCollector{
		usage:    s.Usage(),
		requests: prometheus.NewDesc("weir_store_requests_total", "Requests sent to the store.", operation, nil),
		failed:   prometheus.NewDesc("weir_store_failures_total", "Requests that the store did not answer, or refused.", operation, nil),
		bytes:    prometheus.NewDesc("weir_store_bytes_total", "Bytes of object bodies sent to and read from the store.", operation, nil),
	})
}

func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.requests
	ch <- c.failed
	ch <- c.bytes
}

func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	for operation, n := range c.usage.Operations {
		for desc, v := range map[*prometheus.Desc]int64{c.requests: n.Requests.Load(), c.failed: n.Failed.Load(), c.bytes: n.Bytes.Load()} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v), operation)
		}
	}
}

// registerWorker exports what the worker owns and what waits for one: the
// signal to scale by.
func registerWorker(r prometheus.Registerer, w *bus.Worker) {
	gauge := func(name, help string, value func(bus.WorkerStats) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_segmenter_" + name, Help: help},
			func() float64 { return value(w.Stats()) }))
	}
	counter := func(name, help string, value func(bus.WorkerStats) uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "weir_segmenter_" + name, Help: help},
			func() float64 { return float64(value(w.Stats())) }))
	}
	gauge("owned_broadcasts", "Broadcasts that this worker packages.", func(s bus.WorkerStats) float64 { return float64(s.Owned) })
	gauge("capacity_broadcasts", "Most broadcasts that this worker packages.", func(s bus.WorkerStats) float64 { return float64(s.Capacity) })
	gauge("unowned_broadcasts", "Broadcasts that nobody packages.", func(s bus.WorkerStats) float64 { return float64(s.Unowned) })
	counter("claims_total", "Broadcasts claimed.", func(s bus.WorkerStats) uint64 { return s.Claims })
	counter("takeovers_total", "Broadcasts claimed from a dead or stuck worker.", func(s bus.WorkerStats) uint64 { return s.Takeovers })
	counter("lost_claims_total", "Broadcasts lost to another worker.", func(s bus.WorkerStats) uint64 { return s.Lost })
}

// registerCertificates exports when TLS will fail, where there is any; c may be
// nil.
func registerCertificates(r prometheus.Registerer, c *endpoint.Certificates) {
	if c == nil {
		return
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_tls_certificate_expiry_timestamp_seconds", Help: "When the first of the certificates expires, in Unix time.",
	}, func() float64 { return float64(c.Expires().Unix()) }))
}

func registerDisk(r prometheus.Registerer, d *storage.Disk) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_disk_full", Help: "1 while frames and segments wait for room on the disk.",
	}, func() float64 {
		if d.Full() {
			return 1
		}
		return 0
	}))
}
