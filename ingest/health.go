package ingest

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/media/health"
	"weir/remux/flv"
)

// enroll makes a session known that has its place on the log.
func (p *Publisher) enroll(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[s.grant.Stream.String()] = s
}

// dismiss forgets a session, if none has taken its place.
func (p *Publisher) dismiss(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name := s.grant.Stream.String(); p.live[name] == s {
		delete(p.live, name)
	}
}

// Health is how well the sessions are that publish here, by the stream's name.
func (p *Publisher) Health(now time.Time) map[string]health.Report {
	p.mu.Lock()
	live := maps.Clone(p.live)
	p.mu.Unlock()
	all := make(map[string]health.Report, len(live))
	for name, s := range live {
		all[name] = s.Health(now)
	}
	return all
}

// AnswerHealth answers whoever asks this node for health in JSON: about the
// stream that is named with all its figures, or about all without.
func (p *Publisher) AnswerHealth(stream []byte) []byte {
	all := p.Health(time.Now())
	for name, r := range all {
		if len(stream) == 0 {
			r.Figures = nil
			all[name] = r
		} else if name != string(stream) {
			delete(all, name)
		}
	}
	answer, err := json.Marshal(all)
	if err != nil { // it is of strings and numbers
		return nil
	}
	return answer
}

// examine notes what a tag tells of the session, and how well it is. It needs mu.
func (s *Session) examine(arrived time.Time, t flv.Tag) {
	of := s.facts.note(t)
	switch {
	case of.is:
		s.health.Frame(arrived, of.track, t.Timestamp, len(t.Data), of.key)
	case of.changed:
		s.health.Changed(arrived)
	case of.declares:
		s.health.Declare(s.facts.declared)
	}
}

// Health tells how well the session is at now.
func (s *Session) Health(now time.Time) health.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health.Report(now)
}

var (
	sessionsByHealth = prometheus.NewDesc("weir_ingest_sessions_by_health", "Sessions that publish, by how well they are: ok, warn, bad.", []string{"level"}, nil)
	sessionsByFault  = prometheus.NewDesc("weir_ingest_sessions_by_fault", "Sessions that have a fault, by its code.", []string{"fault"}, nil)
)

// Describe tells what Collect does.
func (p *Publisher) Describe(ch chan<- *prometheus.Desc) {
	ch <- sessionsByHealth
	ch <- sessionsByFault
}

// Collect counts sessions by their health. There are as many series as faults,
// however many sessions.
func (p *Publisher) Collect(ch chan<- prometheus.Metric) {
	levels := map[string]int{string(health.OK): 0, string(health.Warn): 0, string(health.Bad): 0}
	faults := map[string]int{}
	for _, code := range health.Codes() {
		faults[code] = 0
	}
	for _, r := range p.Health(time.Now()) {
		levels[string(r.Level)]++
		for _, f := range r.Faults {
			faults[f.Code]++
		}
	}
	for level, n := range levels {
		ch <- prometheus.MustNewConstMetric(sessionsByHealth, prometheus.GaugeValue, float64(n), level)
	}
	for fault, n := range faults {
		ch <- prometheus.MustNewConstMetric(sessionsByFault, prometheus.GaugeValue, float64(n), fault)
	}
}
