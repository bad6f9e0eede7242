package origin

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count requests by route: segment, playlist, page, api, health,
// metrics or other. No label holds a key or a name, which viewers choose.
type metrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_requests_total",
			Help: "HTTP requests answered, by route and status code.",
		}, []string{"route", "code"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_origin_response_bytes_total",
			Help: "Bytes of response bodies sent, by route.",
		}, []string{"route"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "weir_origin_request_seconds",
			Help:    "Time from a request's headers to the end of its response, by route.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.bytes, m.seconds)
	}
	return m
}

func (m *metrics) observe(route string, rec *recorder, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(rec.code())).Inc()
	m.bytes.WithLabelValues(route).Add(float64(rec.written))
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status  int
	written int64
}

// code is the status sent: 200 where nothing else was said.
func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

func (r *recorder) WriteHeader(code int) {
	if r.status == 0 {
		r.status = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.written += int64(n)
	return n, err
}

// ReadFrom keeps the way open that net/http has to sendfile.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(r.ResponseWriter, src)
	r.written += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// failures logs what no client is told, at most once a second: a store that
// is away fails for every viewer at once.
type failures struct {
	log  *slog.Logger
	last atomic.Int64 // Unix nanoseconds
	held atomic.Int64 // not logged since
}

func (f *failures) report(what string, err error) {
	now, last := time.Now().UnixNano(), f.last.Load()
	if now-last < int64(time.Second) || !f.last.CompareAndSwap(last, now) {
		f.held.Add(1)
		return
	}
	f.log.Warn(what, "err", err, "others", f.held.Swap(0))
}
