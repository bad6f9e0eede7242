package main

import (
	"fmt"
	"slices"
	"strings"

	"weir/bench"
)

// columns are the figures of the table. Those that are compared are so with
// nginx-rtmp.
var columns = []struct {
	name, format string
	compared     bool
	of           func(bench.Result) float64
}{
	{"CPU-ms per stream-second", "%.2f", true, func(r bench.Result) float64 { return r.CPUPerStream }},
	{"PSS per stream, MiB", "%.2f", false, func(r bench.Result) float64 { return r.PSSPerStream }},
	{"listed after its last frame, ms", "%.0f", true, func(r bench.Result) float64 { return r.ListedMS.Median }},
	{"95 % within, ms", "%.0f", false, func(r bench.Result) float64 { return r.ListedMS.P95 }},
	{"first playable, ms", "%.0f", false, func(r bench.Result) float64 { return r.PlayableMS.Median }},
	{"frames lost", "%.0f", false, func(r bench.Result) float64 { return float64(r.Frames.Lost) }},
	{"the bench, cores", "%.2f", false, func(r bench.Result) float64 { return r.BenchCores }},
}

// reference is the peer that others are compared with.
const reference = "nginx-rtmp"

// table is a Markdown table of the medians. A column of frames lost is their
// sum: one that is lost in one window is lost.
func table(names []string, results map[string][]bench.Result) string {
	var b strings.Builder
	b.WriteString("| server |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		for _, c := range columns {
			value := median(results[name], c.of)
			if c.name == "frames lost" {
				value = sum(results[name], c.of)
			}
			fmt.Fprintf(&b, " "+c.format, value)
			if other := median(results[reference], c.of); c.compared && other > 0 && name != reference {
				fmt.Fprintf(&b, " (%.2f)", value/other)
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// median is that of a figure over windows, 0 of none.
func median(results []bench.Result, of func(bench.Result) float64) float64 {
	if len(results) == 0 {
		return 0
	}
	all := make([]float64, 0, len(results))
	for _, r := range results {
		all = append(all, of(r))
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

func sum(results []bench.Result, of func(bench.Result) float64) (total float64) {
	for _, r := range results {
		total += of(r)
	}
	return total
}
