package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"weir/hls"
	"weir/storage"
)

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
		Segment: c.Segment, Window: c.Window, Bitrate: int64(c.Bitrate), Viewers: c.Viewers, Keep: c.kept(),
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

// kept is for how long an object stays.
func (c *planCmd) kept() time.Duration {
	if c.Keep.Window {
		return hls.Settings{Segment: c.Segment, Window: c.Window}.Kept()
	}
	return c.Keep.Limit
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
