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
	URL  string `name:"url" help:"A running weir's HTTP address." placeholder:"URL"`
	HTTP string `name:"http" help:"Without --url: what a weir on this machine, or in this container, was given as --http." default:"localhost:8080" placeholder:"ADDR"`
}

// base is the running weir's address.
func (f *apiFlags) base() string {
	if f.URL != "" {
		return strings.TrimSuffix(f.URL, "/")
	}
	return "http://" + visible(f.HTTP, 80)
}

// apiTimeout bounds one request.
const apiTimeout = 10 * time.Second

// fetch reads what stands at a path.
func (f *apiFlags) fetch(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base()+path, nil)
	if err != nil {
		return nil, usagef("--url: %v", err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask weir: %w (is it running? --url says where)", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask weir: %s: %s", resp.Status, strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	return body, nil
}

// streams asks for the list of streams.
func (f *apiFlags) streams(ctx context.Context) (list listing, err error) {
	body, err := f.fetch(ctx, "/api/v1/streams")
	if err != nil {
		return list, err
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return list, fmt.Errorf("read the answer: %w", err)
	}
	return list, nil
}

// listing is the API's answer.
type listing struct {
	Streams []origin.Stream `json:"streams"`
}

// streamsCmd lists the streams.
type streamsCmd struct {
	apiFlags
	JSON bool `name:"json" help:"Print the API's answer."`
	All  bool `help:"List streams that have ended, too."`
}

func (c *streamsCmd) Run(ctx context.Context, stdout io.Writer) error {
	answer, err := c.streams(ctx)
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

// healthCmd is the health command of containers.
type healthCmd struct {
	apiFlags
}

func (c *healthCmd) Run(ctx context.Context, stdout io.Writer) error {
	if _, err := c.fetch(ctx, "/readyz"); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, "ready")
	return err
}
