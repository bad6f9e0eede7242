package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"weir/api"
)

func (c *streamsCmd) Run(ctx context.Context, stdout io.Writer) error {
	client, err := c.operator(c.adminFlags)
	if err != nil {
		return err
	}
	states := []string{api.Live, api.Waiting}
	if c.All {
		states = nil
	}
	list, err := client.Streams(ctx, states...)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string][]api.Stream{"streams": list})
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(stdout, "nothing is live")
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STREAM\tSTATE\tHEALTH\tUPTIME\tVIDEO\tAUDIO\tMBIT/S\tINGEST\tWORKER\tEPOCH\tRESTARTS\tSILENT\tBEHIND")
	for _, s := range list {
		fmt.Fprintln(table, strings.Join(streamRow(s), "\t"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print streams: %w", err)
	}
	for _, s := range list {
		for _, a := range s.Advice {
			fmt.Fprintf(stdout, "\n%s: %s\n", s.Name, a.Text)
		}
	}
	return nil
}

func streamRow(s api.Stream) []string {
	row := []string{s.Name, s.State, orDash(string(s.Health)), "-", "-", "-", "-", orDash(s.Ingest), orDash(s.Worker), fmt.Sprint(s.Epoch), "-", "-", "-"}
	if s.UptimeSeconds > 0 {
		row[3] = (time.Duration(s.UptimeSeconds) * time.Second).String()
	}
	if v := s.Video; v != nil {
		row[4] = fmt.Sprintf("%dx%d %s", v.Width, v.Height, v.Codec)
	}
	if a := s.Audio; a != nil {
		row[5] = fmt.Sprintf("%s %d Hz", a.Codec, a.SampleRate)
	}
	if s.Bitrate > 0 {
		row[6] = fmt.Sprintf("%.1f", float64(s.Bitrate)/1e6)
	}
	if s.Restarts != nil {
		row[10] = fmt.Sprint(*s.Restarts)
	}
	for i, lag := range []*float64{s.EncoderLagSeconds, s.WorkerLagSeconds} {
		if lag != nil {
			row[11+i] = fmt.Sprintf("%.1f s", *lag)
		}
	}
	return row
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
