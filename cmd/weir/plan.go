package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"weir/storage"
)

// planCmd tells beforehand what a store is asked for, and what that costs.
type planCmd struct {
	Streams    int           `help:"Streams that are live, all the time." default:"1"`
	Renditions int           `help:"Renditions of each." default:"1"`
	Hours      float64       `help:"For how long." default:"1"`
	Segment    time.Duration `help:"Duration of a segment." default:"4s"`
	Window     time.Duration `help:"How much of the show a live playlist lists." default:"60s"`
	Bitrate    bitRate       `help:"Of each rendition, as its encoder sends it, in bit/s: 800k, 4M." default:"4M"`
	Viewers    float64       `help:"Viewers at a time, all streams together, who read the store itself; behind a CDN, its misses."`
	Keep       keep          `help:"How long objects stay: none, window, a duration as in 720h, or forever." default:"forever"`
	Prices     *os.File      `help:"JSON file with prices, in the form of storage/prices.json. Absent: that example." placeholder:"FILE"`
	JSON       bool          `name:"json" help:"Print the plan as JSON."`
}

func (c *planCmd) Run(_ context.Context, stdout io.Writer) error {
	prices := storage.ExamplePrices()
	if c.Prices != nil {
		defer c.Prices.Close()
		var err error
		if prices, err = storage.ReadPrices(c.Prices); err != nil {
			return usagef("plan: --prices: %v", err)
		}
	}
	w := storage.Workload{
		Streams: c.Streams, Renditions: c.Renditions, Duration: time.Duration(c.Hours * float64(time.Hour)),
		Segment: c.Segment, Window: c.Window, Bitrate: int64(c.Bitrate), Viewers: c.Viewers, Keep: c.Keep.plan(c.Segment, c.Window),
	}
	p, err := storage.MakePlan(w, prices)
	if err != nil {
		return usagef("%v", err)
	}
	if c.JSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			storage.Plan
			Total  float64
			Prices storage.Prices
		}{p, p.Total(), prices})
	}
	return c.print(&p, prices, stdout)
}

func (c *planCmd) print(p *storage.Plan, prices storage.Prices, stdout io.Writer) error {
	fmt.Fprintf(stdout, "%d streams for %g hours, segments of %v at %.3g Mbit/s: %d puts and %d gets by workers, %.1f GB written, %.1f GB stored at most.\n\n",
		c.Streams, c.Hours, c.Segment, float64(c.Bitrate)/1e6, p.Puts, p.Gets, float64(p.Written)/1e9, float64(p.Stored)/1e9)
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, l := range p.Lines {
		fmt.Fprintf(table, "%s\t%12.0f %s\t%10.2f %s\n", l.What, l.Quantity, l.Unit, l.Cost, prices.Currency)
	}
	fmt.Fprintf(table, "total\t\t%10.2f %s\n", p.Total(), prices.Currency)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print plan: %w", err)
	}
	_, err := fmt.Fprintf(stdout, "\nPrices: %s, %s. %s\n", prices.Name, prices.Date, prices.Note)
	return err
}

// bitRate is in bit/s, with an optional unit, 1000-based.
type bitRate int64

// UnmarshalText reads 128000, 800k, 4M, 1.5M.
func (b *bitRate) UnmarshalText(text []byte) error {
	s, factor := string(text), 1.0
	for unit, f := range map[string]float64{"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			s, factor = n, f
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n*factor > 1e12 {
		return fmt.Errorf("want bits per second, as in 800k or 4M")
	}
	*b = bitRate(n * factor)
	return nil
}
