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
	client, err := c.client("")
	if err != nil {
		return err
	}
	answer, err := client.Streams(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(answer)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STREAM\tSTATE\tUPTIME\tVIDEO\tAUDIO\tMBIT/S\tINGEST\tWORKER\tEPOCH\tRESTARTS\tBEHIND")
	n := 0
	for _, s := range answer.Streams {
		if s.State == api.Ended && !c.All {
			continue
		}
		n++
		fmt.Fprintln(table, strings.Join(streamRow(s), "\t"))
	}
	if n == 0 {
		_, err := fmt.Fprintln(stdout, "nothing is live")
		return err
	}
	return table.Flush()
}

func streamRow(s api.Stream) []string {
	row := []string{s.Name, s.State, "-", "-", "-", "-", orDash(s.Ingest), orDash(s.Worker), fmt.Sprint(s.Epoch), "-", "-"}
	if s.UptimeSeconds > 0 {
		row[2] = (time.Duration(s.UptimeSeconds) * time.Second).String()
	}
	if v := s.Video; v != nil {
		row[3] = fmt.Sprintf("%dx%d %s", v.Width, v.Height, v.Codec)
	}
	if a := s.Audio; a != nil {
		row[4] = fmt.Sprintf("%s %d Hz", a.Codec, a.SampleRate)
	}
	if s.Bitrate > 0 {
		row[5] = fmt.Sprintf("%.1f", float64(s.Bitrate)/1e6)
	}
	if s.Restarts != nil {
		row[9] = fmt.Sprint(*s.Restarts)
	}
	if s.LagSeconds != nil {
		row[10] = fmt.Sprintf("%.1f s", *s.LagSeconds)
	}
	return row
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
