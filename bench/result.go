package bench

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Result is what was measured. Times are in seconds or, where the name says
// so, milliseconds.
type Result struct {
	Streams int `json:"streams"`
	// Seconds is how long the window was, StreamSeconds how much media was sent
	// in it, over all streams.
	Seconds       float64 `json:"seconds"`
	StreamSeconds float64 `json:"stream_seconds"`

	// Processes are those that were measured; CPU is the time they took in the
	// window, user and system, and PSS what they held at its end.
	Processes    int     `json:"processes"`
	CPU          float64 `json:"cpu_seconds"`
	CPUPerStream float64 `json:"cpu_ms_per_stream_second"`
	PSS          int64   `json:"pss_bytes"`
	PSSPerStream float64 `json:"pss_mib_per_stream"`
	MBPerCPU     float64 `json:"mb_per_cpu_second,omitempty"` // of --fast
	BenchCores   float64 `json:"bench_cores"`                 // of ours
	SentBytes    int64   `json:"sent_bytes"`
	SentVideo    int64   `json:"sent_video_frames"`
	SentAudio    int64   `json:"sent_audio_frames"`
	LateMS       float64 `json:"late_ms"` // the longest that a frame waited for its turn here
	Full         int     `json:"full"`    // frames that a full socket did not take at once
	Watched      int     `json:"watched"`
	ListedMS     Spread  `json:"listed_ms"`         // from a segment's last frame to its listing
	PlayableMS   Spread  `json:"first_playable_ms"` // from the first frame to the first segment listed
	Unplayable   int     `json:"unplayable"`        // streams without one
	Frames       tally   `json:"frames"`            // of the streams that were watched
	listed       []time.Duration
	playable     []time.Duration
}

// Spread is how a figure is spread over what was measured.
type Spread struct {
	Count  int     `json:"count"`
	Least  float64 `json:"least"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	Most   float64 `json:"most"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// spreadOf sums up durations in milliseconds.
func spreadOf(all []time.Duration) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(all))
	at := func(percent int) float64 { return milliseconds(s[(len(s)-1)*percent/100]) }
	return Spread{Count: len(s), Least: at(0), Median: at(50), P95: at(95), Most: at(100)}
}

// perStreamSecond fills in what follows from the sums.
func (r *Result) perStreamSecond() {
	r.CPUPerStream = r.CPU * 1000 / r.StreamSeconds
	r.PSSPerStream = float64(r.PSS) / (1 << 20) / float64(r.Streams)
}

func (r *Result) summarize() { r.ListedMS, r.PlayableMS = spreadOf(r.listed), spreadOf(r.playable) }

// WriteText writes the figures for people.
func (r *Result) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("streams", "%d, %.1f s of each measured", r.Streams, r.StreamSeconds/float64(r.Streams))
	if r.Processes > 0 {
		line("CPU", "%.2f ms per stream-second (%.2f s in %.1f s, %d processes)", r.CPUPerStream, r.CPU, r.Seconds, r.Processes)
		line("memory (PSS)", "%.2f MiB per stream (%.0f MiB)", r.PSSPerStream, float64(r.PSS)/(1<<20))
	}
	if r.MBPerCPU > 0 {
		line("throughput", "%.0f MB per CPU-second, %.0f MB/s", r.MBPerCPU, float64(r.SentBytes)/1e6/r.Seconds)
	}
	if r.Watched > 0 {
		line("segment listed after its last frame", "%s", r.ListedMS)
		line("first playable after the first frame", "%s", r.PlayableMS)
		line("frames", "%d found in %d streams, %d lost, %d doubled", r.Frames.Checked, r.Watched, r.Frames.Lost, r.Frames.Doubled)
		if r.Unplayable > 0 {
			line("never playable", "%d streams", r.Unplayable)
		}
		if r.Frames.Gone > 0 {
			line("not counted", "%d segments that were deleted before", r.Frames.Gone)
		}
	}
	line("sent", "%.1f MB, %d pictures, %d audio frames", float64(r.SentBytes)/1e6, r.SentVideo, r.SentAudio)
	line("the bench itself", "%.2f cores, a frame at most %.0f ms late, %d times a socket was full", r.BenchCores, r.LateMS, r.Full)
	return t.Flush()
}

// String is a spread in milliseconds.
func (s Spread) String() string {
	if s.Count == 0 {
		return "not seen"
	}
	return fmt.Sprintf("median %.0f ms, 95 %% within %.0f ms, at most %.0f ms (%d)", s.Median, s.P95, s.Most, s.Count)
}
