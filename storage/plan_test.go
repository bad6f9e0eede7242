package storage_test

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"weir/storage"
)

// One stream of an hour in segments of 4 s. That the counts are those of a real
// segmenter was measured, see docs/storage.md; here they are counted by hand.
func TestMakePlan(t *testing.T) {
	p, err := storage.MakePlan(storage.Workload{
		Streams: 1, Duration: time.Hour, Segment: 4 * time.Second, Window: time.Minute, Bitrate: 4_000_000,
	}, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	const (
		segments = 900
		live     = 900 // rewritten with each segment
		runs     = 13  // of 64, of the 885 that left the window of 15
		vod      = 31  // at 1 2 … 8 10 12 15 18 22 27 33 41 51 63 78 97 121 151 188 235 293 366 457 571 713 891, and at the end
		multi    = 4   // the broadcast's and the stream's, at begin and end
	)
	if want := int64(segments + live + runs + vod + multi); p.Puts != want {
		t.Errorf("%d puts, want %d", p.Puts, want)
	}
	// An hour at 4 Mbit/s is 1.8 GB, and a few percent of TS.
	if p.Written < 1_800_000_000 || p.Written > 1_900_000_000 {
		t.Errorf("%d bytes written, want 1.8 to 1.9 GB", p.Written)
	}
	// 0.005 for each 1000, as demanded: requests cost a cent per stream-hour.
	if got, want := p.Lines[0].Cost, float64(p.Puts)*0.005/1000; math.Abs(got-want) > 1e-9 {
		t.Errorf("puts cost %g, want %g", got, want)
	}
}

// Twice the streams, or the renditions, cost twice as much; a plan has no
// discount and no fixed costs.
func TestMakePlanScales(t *testing.T) {
	w := storage.Workload{Streams: 1, Duration: 10 * time.Hour, Segment: 2 * time.Second, Window: time.Minute, Bitrate: 1_000_000}
	one, err := storage.MakePlan(w, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	w.Streams = 100
	hundred, err := storage.MakePlan(w, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	if hundred.Puts != 100*one.Puts || hundred.Written != 100*one.Written || math.Abs(hundred.Total()-100*one.Total()) > 1e-6 {
		t.Errorf("a hundred streams: %+v, one: %+v", hundred, one)
	}
	w.Streams, w.Renditions = 1, 3
	three, err := storage.MakePlan(w, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	if three.Written != 3*one.Written {
		t.Errorf("three renditions write %d bytes, one %d", three.Written, one.Written)
	}
	// A long show's playlists must not cost what its segments cost: that they
	// grow is paid for once, not with each segment.
	w.Renditions, w.Duration, w.Bitrate = 1, 24*time.Hour, 0
	day, err := storage.MakePlan(w, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	if perSegment := float64(day.Written-4000*24*3600) / (24 * 3600 / 2); perSegment > 4000 {
		t.Errorf("playlists of a day cost %.0f bytes per segment", perSegment)
	}
}

func TestMakePlanForViewers(t *testing.T) {
	w := storage.Workload{Streams: 1, Duration: time.Hour, Segment: 4 * time.Second, Bitrate: 4_000_000, Viewers: 10}
	p, err := storage.MakePlan(w, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	if p.Reads != 2*10*900 || p.Read < 10*1_800_000_000 {
		t.Errorf("ten viewers read %d times, %d bytes", p.Reads, p.Read)
	}
}

func TestMakePlanKeeps(t *testing.T) {
	w := storage.Workload{Streams: 1, Duration: 720 * time.Hour, Segment: 4 * time.Second, Bitrate: 4_000_000}
	forever, err := storage.MakePlan(w, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	w.Keep = 72 * time.Hour
	days, err := storage.MakePlan(w, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	if days.Stored*9 > forever.Stored || days.Stored*11 < forever.Stored {
		t.Errorf("three days of thirty store %d bytes of %d", days.Stored, forever.Stored)
	}
}

func TestMakePlanRefuses(t *testing.T) {
	good := storage.Workload{Streams: 1, Duration: time.Hour, Segment: time.Second}
	for name, spoil := range map[string]func(*storage.Workload){
		"streams":       func(w *storage.Workload) { w.Streams = -1 },
		"duration":      func(w *storage.Workload) { w.Duration = 0 },
		"segment":       func(w *storage.Workload) { w.Segment = 0 },
		"bitrate":       func(w *storage.Workload) { w.Bitrate = -1 },
		"viewers":       func(w *storage.Workload) { w.Viewers = -1 },
		"nanoseconds":   func(w *storage.Workload) { w.Segment = 1 },
		"keep":          func(w *storage.Workload) { w.Keep = -1 },
		"no renditions": func(w *storage.Workload) { w.Renditions = -1 },
	} {
		w := good
		spoil(&w)
		if _, err := storage.MakePlan(w, storage.Prices{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPrices(t *testing.T) {
	if p := storage.ExamplePrices(); p.Note == "" || p.Date == "" || p.Put <= p.Get {
		t.Errorf("example prices %+v", p)
	}
	file, err := os.Open("prices.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := storage.ReadPrices(file)
	if err != nil || p != storage.ExamplePrices() {
		t.Errorf("read %+v, %v", p, err)
	}
	for _, text := range []string{"", "{", `{"put_per_million": 5}`, `{"put_per_1000": -1}`, `{"put_per_1000": "5"}`} {
		if _, err := storage.ReadPrices(strings.NewReader(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
