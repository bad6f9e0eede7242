package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"weir/storage"
)

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
