package storage

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"weir/hls"
)

// Prices is a price list of object storage. Those in the box are an example,
// see ExamplePrices.
type Prices struct {
	Name     string `json:"name"`
	Date     string `json:"date"`
	Note     string `json:"note"`
	Currency string `json:"currency"`
	// Put is also that of lists.
	Put     float64 `json:"put_per_1000"`
	Get     float64 `json:"get_per_1000"`
	Storage float64 `json:"storage_gib_month"`
	Egress  float64 `json:"egress_gib"`
}

//go:embed prices.json
var examplePrices []byte

// ExamplePrices are what a Plan reckons with where nobody says better.
func ExamplePrices() Prices {
	var p Prices
	if err := json.Unmarshal(examplePrices, &p); err != nil {
		panic(err) // the file is part of the program, and of its tests
	}
	return p
}

// ReadPrices reads a price list in the form of prices.json beside this file. A
// price that is not in it is 0.
func ReadPrices(r io.Reader) (Prices, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var p Prices
	if err := d.Decode(&p); err != nil {
		return Prices{}, fmt.Errorf("read prices: %w", err)
	}
	if p.Put < 0 || p.Get < 0 || p.Storage < 0 || p.Egress < 0 {
		return Prices{}, errors.New("read prices: a price is negative")
	}
	return p, nil
}

// Workload is what is to be planned: streams that go on for some time, all
// alike.
type Workload struct {
	Streams    int
	Renditions int // of each stream; 1 for 0
	Duration   time.Duration
	Segment    time.Duration
	Window     time.Duration // of the live playlist
	Bitrate    int64         // of a rendition as the encoder sends it, bit/s
	// Keep is how long objects stay; for ever for 0.
	Keep time.Duration
	// Viewers is how many watch at once, on an average, all streams together
	// and straight from the store. Behind a CDN it is the CDN's misses.
	Viewers float64
}

// Plan is what a Workload asks of a store, and its price.
type Plan struct {
	Puts, Gets int64 // by workers
	Written    int64 // bytes of object bodies, by workers
	Reads      int64 // requests by viewers
	Read       int64 // bytes by viewers
	Stored     int64 // bytes, most at any time
	Lines      []Line
}

// Line is a line of a Plan's bill.
type Line struct {
	What     string
	Quantity float64
	Unit     string
	Cost     float64
}

// Total is the bill's sum.
func (p *Plan) Total() float64 {
	var sum float64
	for _, l := range p.Lines {
		sum += l.Cost
	}
	return sum
}

// What a segment takes beside the encoder's bytes, measured on real ones.
const (
	headers = 188. / 184 // of MPEG-TS packets
	padding = 4000       // bytes/s of PES headers, tables and stuffing, at 30 frames/s and with audio
	month   = 30 * 24 * time.Hour
	gib     = 1 << 30
	// maxPlanned is the longest show: two years of segments of 2 s.
	maxPlanned = 1 << 25
)

// MakePlan reckons what a workload asks of the store and costs. It takes each
// stream for one broadcast that begins and ends within the time.
func MakePlan(w Workload, p Prices) (Plan, error) {
	if w.Streams < 0 || w.Renditions < 0 || w.Duration <= 0 || w.Segment <= 0 || w.Window < 0 || w.Bitrate < 0 || w.Keep < 0 || w.Viewers < 0 {
		return Plan{}, errors.New("plan: a quantity is negative, or the duration or the segment length is not positive")
	}
	if w.Duration/w.Segment > maxPlanned {
		return Plan{}, errors.New("plan: too many segments")
	}
	plan, course := rendition(w)
	n := int64(w.Streams) * int64(max(1, w.Renditions))
	plan.Puts, plan.Gets, plan.Written, plan.Stored = n*plan.Puts, n*plan.Gets, n*plan.Written, n*plan.Stored
	// The two multivariants of a stream: read and written at its begin,
	// written at its end, and every hour.
	plan.Puts += (4 + 2*int64((w.Duration-1)/time.Hour)) * int64(w.Streams)
	plan.Gets += 2 * int64(w.Streams)
	viewing(&plan, w, course)
	plan.bill(w, p)
	return plan, nil
}

// rendition reckons one rendition of one stream: its objects are those of a show
// that is gone through without its media.
func rendition(w Workload) (Plan, hls.Course) {
	c := hls.Simulate(hls.Settings{Segment: w.Segment, Window: w.Window}, w.Duration)
	media := int64(byteRate(w) * w.Duration.Seconds())
	p := Plan{
		Puts:    2*c.Segments + c.Runs + c.VODs,
		Gets:    2 + c.RunsRead, // is there a playlist of either kind?
		Written: media + c.LiveBytes + c.RunBytes + c.VODBytes,
		Stored:  media + c.RunBytes + c.LastLive + c.LastVOD,
	}
	if w.Keep > 0 && w.Keep < w.Duration {
		p.Stored = int64(float64(p.Stored) * (float64(w.Keep) / float64(w.Duration)))
	}
	return p, c
}

// byteRate is how many bytes of segments a second makes.
func byteRate(w Workload) float64 { return float64(w.Bitrate)/8*headers + padding }

// viewing reckons what viewers read: a segment and a live playlist for each
// segment's time.
func viewing(p *Plan, w Workload, c hls.Course) {
	per := w.Viewers * w.Duration.Seconds() / w.Segment.Seconds()
	segment := byteRate(w) * w.Segment.Seconds()
	p.Reads = int64(2 * per)
	p.Read = int64(per * (segment + float64(c.LiveBytes)/float64(c.Segments)))
}

func (p *Plan) bill(w Workload, prices Prices) {
	stored := float64(p.Stored) / gib
	p.Lines = []Line{
		{"put requests", float64(p.Puts), "requests", float64(p.Puts) / 1000 * prices.Put},
		{"get requests by workers", float64(p.Gets), "requests", float64(p.Gets) / 1000 * prices.Get},
		{"get requests by viewers", float64(p.Reads), "requests", float64(p.Reads) / 1000 * prices.Get},
		{"bytes to viewers", float64(p.Read) / gib, "GiB", float64(p.Read) / gib * prices.Egress},
	}
	keep := w.Keep
	if keep == 0 {
		keep = month
	}
	// What grows for the workload's time and then stays for Keep is stored for
	// half of the one and the whole of the other, on an average.
	months := (w.Duration/2 + keep).Hours() / month.Hours()
	if w.Keep > 0 && w.Keep < w.Duration {
		months = w.Duration.Hours() / month.Hours() // full all the time
	}
	p.Lines = append(p.Lines, Line{"storage", stored * months, "GiB-months", stored * months * prices.Storage})
}
