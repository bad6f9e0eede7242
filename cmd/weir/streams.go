package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"weir/origin"
)

// apiFlags say where a running weir answers.
type apiFlags struct {
	URL string `name:"url" help:"A running weir's HTTP address." default:"http://localhost:8080" placeholder:"URL"`
}

// apiTimeout bounds one request.
const apiTimeout = 10 * time.Second

// get reads a path of the API into v; a nil v asks for the status only.
func (f *apiFlags) get(ctx context.Context, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(f.URL, "/")+path, nil)
	if err != nil {
		return usagef("--url: %v", err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask weir: %w (is it running? --url says where)", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask weir: %s: %s", resp.Status, strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// streamsCmd lists the streams.
type streamsCmd struct {
	apiFlags
	JSON bool `name:"json" help:"Print the API's answer."`
	All  bool `help:"List streams that have ended, too."`
}

func (c *streamsCmd) Run(ctx context.Context, stdout io.Writer) error {
	var answer struct {
		Streams []origin.Stream `json:"streams"`
	}
	if err := c.get(ctx, "/api/v1/streams", &answer); err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(answer)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STREAM\tSTATE\tUPTIME\tVIDEO\tAUDIO\tMBIT/S\tINGEST\tWORKER\tEPOCH\tBEHIND")
	n := 0
	for _, s := range answer.Streams {
		if s.State == origin.Ended && !c.All {
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

func streamRow(s origin.Stream) []string {
	row := []string{s.Name, s.State, "-", "-", "-", "-", orDash(s.Ingest), orDash(s.Worker), fmt.Sprint(s.Epoch), "-"}
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
	if s.LagSeconds != nil {
		row[9] = fmt.Sprintf("%.1f s", *s.LagSeconds)
	}
	return row
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// healthCmd is the health command of containers.
type healthCmd struct {
	apiFlags
}

func (c *healthCmd) Run(ctx context.Context, stdout io.Writer) error {
	if err := c.get(ctx, "/readyz", nil); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, "ready")
	return err
}
