//go:build unix

package operate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// A real encoder with a key frame each ten seconds: its operator is told so, with
// what to do, by the API, weir streams and the metrics of a cluster; viewers are
// told what to do, and not by whom.
func TestHealth(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t)
	spec := testweir.Small(20)
	spec.GOP = 300
	testweir.Publish(t, testmedia.MP4(t, spec), in.URL("alice"))
	var report struct {
		Level   string
		Faults  []struct{ Code, Level, Text, Advice string }
		Figures struct {
			Pictures []int
		}
	}
	testweir.Eventually(t, 12*time.Second, "the key frames are complained of", func() bool {
		code, body := testweir.Get("http://" + c.Admin + "/api/v1/streams/live/alice/health")
		return code == 200 && json.Unmarshal(body, &report) == nil && len(report.Faults) > 0 && report.Faults[0].Code == "keyframe_interval"
	})
	if f := report.Faults[0]; report.Level == "ok" || !strings.Contains(f.Text, "Key frames come every") || !strings.Contains(f.Advice, "2 s") || len(report.Figures.Pictures) < 3 {
		t.Errorf("%+v", report)
	}
	testweir.Eventually(t, 5*time.Second, "weir streams tells", func() bool {
		_, said := testweir.Run(t, "streams", "--url", "http://"+c.Admin)
		return strings.Contains(said, "Key frames come every") && (strings.Contains(said, "warn") || strings.Contains(said, "bad"))
	})
	if n := in.Metric(t, `weir_ingest_sessions_by_fault{fault="keyframe_interval"}`); n != 1 {
		t.Errorf("the metric is %g", n)
	}
	if _, body := testweir.Get("http://" + c.HTTP + "/api/v1/streams"); !strings.Contains(string(body), "keyframe_interval") || strings.Contains(string(body), `"health"`) {
		t.Errorf("viewers are told: %s", body)
	}
	if code, _ := testweir.Get("http://" + c.HTTP + "/api/v1/streams/live/alice/health"); code != 401 {
		t.Errorf("a viewer asks for health: %d", code)
	}
}
