package ingest

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/media/health"
)

// TestHealth is what a node answers of its sessions: of each that has its place
// on the log, until it ends.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestPublisher(Config{})
		ask := func(question string) map[string]health.Report {
			t.Helper()
			var all map[string]health.Report
			if err := json.Unmarshal(d.AnswerHealth([]byte(question)), &all); err != nil {
				t.Fatal(err)
			}
			return all
		}
		alice, bob := d.publish(t, "alice"), d.publish(t, "bob")
		if all := ask(""); len(all) != 0 {
			t.Errorf("%v: nothing is live yet", all)
		}
		for ts := uint32(0); ts < 12_000; ts += 40 {
			if ts == 0 {
				alice.send(avcConfig(0, testAVCC...), aacHeader(0, 0x12, 0x10), key(0))
				bob.send(avcConfig(0, testAVCC...), key(0))
			} else if ts%2000 == 0 {
				alice.send(key(ts))
			}
			alice.send(inter(ts), sound(ts))
			bob.send(inter(ts))
			time.Sleep(40 * time.Millisecond)
		}
		all := ask("")
		if a := all["live/alice"]; a.Level != health.OK || a.Figures != nil {
			t.Errorf("alice: %+v", a)
		}
		if b := all["live/bob"]; b.Level != health.Bad || len(b.Faults) != 1 || b.Faults[0].Code != "keyframe_interval" {
			t.Errorf("bob has one key frame in 12 s: %+v", b)
		}
		one := ask("live/bob")
		if b := one["live/bob"]; len(one) != 1 || b.Figures == nil || len(b.Figures.Pictures) != 12 || b.Figures.Pictures[5] != 25 {
			t.Errorf("%+v", one)
		}
		want := `# HELP weir_ingest_sessions_by_health Sessions that publish, by how well they are: ok, warn, bad.
# TYPE weir_ingest_sessions_by_health gauge
weir_ingest_sessions_by_health{level="bad"} 1
weir_ingest_sessions_by_health{level="ok"} 1
weir_ingest_sessions_by_health{level="warn"} 0
`
		if err := testutil.CollectAndCompare(d.Publisher, strings.NewReader(want), "weir_ingest_sessions_by_health"); err != nil {
			t.Error(err)
		}
		if n := testutil.CollectAndCount(d.Publisher); n != 3+len(health.Codes()) {
			t.Errorf("%d series, whatever is live", n)
		}
		alice.unpublish()
		bob.lose()
		if all := ask(""); len(all) != 0 {
			t.Errorf("%v: nothing is live any more", all)
		}
	})
}
