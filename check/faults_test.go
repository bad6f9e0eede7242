package check

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/check/playlist"
	"weir/check/report"
	"weir/check/stream"
	"weir/internal/external"
)

// ffmpegHLS makes HLS of a test picture and a tone with the real ffmpeg: 12 s
// in segments of 2 s, with a multivariant playlist m.m3u8. Its BANDWIDTH is what
// -b:v and -b:a ask for and a tenth more, not what was measured, so the encoder
// is held below that.
func ffmpegHLS(t testing.TB, more ...string) string {
	t.Helper()
	external.Need(t, "ffmpeg")
	dir := t.TempDir()
	args := []string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-t", "12", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
		"-b:v", "440k", "-maxrate", "400k", "-bufsize", "200k", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k",
		"-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-master_pl_name", "m.m3u8",
		"-hls_segment_filename", "%d.ts"}
	cmd := exec.Command("ffmpeg", append(append(args, more...), "v.m3u8")...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make HLS with ffmpeg: %v\n%s", err, out)
	}
	return dir
}

// TestFFmpegHasNoErrors: what ffmpeg makes of a sound file keeps every MUST.
func TestFFmpegHasNoErrors(t *testing.T) {
	for name, more := range map[string][]string{
		"ts":               nil,
		"independent":      {"-hls_flags", "independent_segments"},
		"one file":         {"-hls_flags", "single_file", "-hls_segment_filename", "all.ts"},
		"fmp4":             {"-hls_segment_type", "fmp4", "-hls_segment_filename", "%d.m4s"},
		"audio only":       {"-vn"},
		"video only":       {"-an"},
		"44100 Hz":         {"-ar", "44100"},
		"29.97 pictures":   {"-r", "30000/1001"},
		"encoder defaults": {"-g", "250", "-sc_threshold", "40", "-hls_time", "6"},
		"fmp4 in one file": {"-hls_segment_type", "fmp4", "-hls_flags", "single_file", "-hls_segment_filename", "all.mp4"},
		"encrypted":        {"-hls_enc", "1", "-hls_enc_key", "0123456789abcdef"},
		"MP3":              {"-c:a", "libmp3lame"},
		"open GOPs":        {"-x264opts", "open-gop=1:bframes=5:b-adapt=0"},
		"a picture in 1 s": {"-r", "1", "-g", "1", "-keyint_min", "1", "-hls_time", "1"},
		"a picture in 4 s": {"-r", "1/4", "-g", "1", "-keyint_min", "1", "-hls_time", "4"},
		"an uneven rate":   {"-vf", "select='lt(mod(n,50),10)'", "-vsync", "vfr", "-force_key_frames", "expr:gte(t,n_forced*2)"},
		"the clock wraps":  {"-output_ts_offset", "95437"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Directory(os.DirFS(ffmpegHLS(t, more...)), ".")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			if r.Segments == 0 || r.Playlists < 2 {
				t.Errorf("it read %d playlists and %d segments", r.Playlists, r.Segments)
			}
		})
	}
}

// TestPlantedFaults plants one fault in what ffmpeg made, and wants the rule
// that names it, as an error.
func TestPlantedFaults(t *testing.T) {
	sound := ffmpegHLS(t, "-hls_flags", "independent_segments")
	read := func(dir, name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(dir, name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := func(name string, pairs ...string) func(string) {
		return func(dir string) { write(dir, name, []byte(edit(string(read(dir, name)), pairs...))) }
	}
	for _, f := range []struct {
		name, rule string
		plant      func(dir string)
	}{
		{"TARGETDURATION too small", "M3U-TARGETDURATION", text("v.m3u8", "TARGETDURATION:2", "TARGETDURATION:1")},
		{"an object is missing", "OBJ-MISSING", func(dir string) { _ = os.Remove(filepath.Join(dir, "3.ts")) }},
		{"EXTINF is wrong", "SEG-EXTINF", text("v.m3u8", "EXTINF:2.000000,\n2.ts", "EXTINF:1.200000,\n2.ts")},
		{"packets are lost", "TS-CONTINUITY", func(dir string) {
			b := read(dir, "2.ts")
			write(dir, "2.ts", without(b, 100*188, 3*188))
		}},
		{"the segment's end is lost", "TS-CONTINUITY-ACROSS", func(dir string) {
			b := read(dir, "2.ts")
			write(dir, "2.ts", b[:len(b)-20*188])
		}},
		{"two segments are swapped", "SEG-TIMESTAMP", func(dir string) {
			a, b := read(dir, "2.ts"), read(dir, "3.ts")
			write(dir, "2.ts", b)
			write(dir, "3.ts", a)
		}},
		{"timestamps jump", "SEG-TIMESTAMP", func(dir string) {
			other := ffmpegHLS(t, "-output_ts_offset", "100", "-hls_flags", "independent_segments")
			write(dir, "3.ts", read(other, "3.ts"))
		}},
		{"no IDR picture under INDEPENDENT-SEGMENTS", "SEG-INDEPENDENT", func(dir string) { write(dir, "3.ts", noIDR(read(dir, "3.ts"))) }},
		{"BANDWIDTH too low", "SEG-BANDWIDTH", func(dir string) {
			m := string(read(dir, "m.m3u8"))
			_, rest, _ := strings.Cut(m, "BANDWIDTH=")
			n, _, _ := strings.Cut(rest, ",")
			write(dir, "m.m3u8", []byte(strings.Replace(m, "BANDWIDTH="+n, "BANDWIDTH=200000", 1)))
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			f.plant(dir)
			r, err := Directory(os.DirFS(dir), "m.m3u8")
			if err != nil {
				t.Fatal(err)
			}
			if !r.Has(f.rule) || report.ByID[f.rule].Severity != report.Error {
				t.Errorf("want the error %s, found %v", f.rule, r.Findings)
			}
		})
	}
}

// noIDR makes every IDR slice of a segment one of a P picture.
func noIDR(b []byte) []byte {
	for i := range len(b) - 4 {
		if b[i] == 0 && b[i+1] == 0 && b[i+2] == 1 && b[i+3]&0x1F == 5 {
			b[i+3] = b[i+3]&^0x1F | 1
		}
	}
	return b
}

// TestPlantedHistory plants faults in the history of a live playlist.
func TestPlantedHistory(t *testing.T) {
	for _, f := range []struct {
		name, rule string
		r          report.Report
	}{
		{"DISCONTINUITY-SEQUENCE wrong after sliding", "LIVE-DISCONTINUITY-SEQUENCE", versions(version(2), version(3), edit(version(4), "DISCONTINUITY-SEQUENCE:2", "DISCONTINUITY-SEQUENCE:1"))},
		{"sequence going back", "LIVE-SEQUENCE-BACK", versions(version(0), version(1), version(2), version(1))},
		{"a restart from nothing", "LIVE-SEQUENCE-BACK", versions(version(2), edit(version(2), "MEDIA-SEQUENCE:9", "MEDIA-SEQUENCE:0"))},
		{"two writers", "LIVE-FORK", versions(version(0), version(1), strings.Replace(version(1), "12.ts", "12b.ts", 1))},
		{"a name used again", "LIVE-REUSED", watched(serving(0), serving(1, "7.ts", "other"))},
	} {
		t.Run(f.name, func(t *testing.T) {
			if !f.r.Has(f.rule) {
				t.Errorf("want %s, found %v", f.rule, f.r.Findings)
			}
		})
	}
	if r := watched(serving(0), serving(1), serving(2), serving(3), serving(4)); r.Has("LIVE-FORK") || r.Has("LIVE-SEQUENCE-BACK") || r.Has("LIVE-REUSED") || r.Has("LIVE-GONE") || r.Has("LIVE-DISCONTINUITY-SEQUENCE") {
		t.Errorf("a sound history is reported: %v", r.Findings)
	}
}

// TestWatchAsksOnTime: a live playlist is reloaded three times in a target
// duration, an ended one never, and each segment is asked for once.
func TestWatchAsksOnTime(t *testing.T) {
	c := New("p.m3u8", Config{Watch: true})
	asked := map[string]int{}
	now := at
	for i := range 6 {
		for w, ok := c.Next(now); ok; w, ok = c.Next(now) {
			asked[fmt.Sprint(w.Kind, w.URI)]++
			body := version(0)
			if i == 5 {
				body += "#EXT-X-ENDLIST\n"
			}
			c.Put(now, w, Object{Body: []byte(body)})
		}
		if i < 5 {
			if got := c.Due().Sub(now).Round(time.Millisecond); got != 667*time.Millisecond {
				t.Errorf("the next reload is due in %v, want a third of 2 s", got)
			}
			now = c.Due()
		}
	}
	if !c.Due().IsZero() {
		t.Error("an ended playlist is reloaded")
	}
	if asked["1p.m3u8"] != 6 || asked["27.ts"] != 1 || asked["212.ts"] != 1 {
		t.Errorf("it asked for %v", asked)
	}
}

// TestSecretsStayOut: no query string of a URI is in a report.
func TestSecretsStayOut(t *testing.T) {
	r := files("m.m3u8", strings.Replace(edit(master, "AUDIO=\"a\"", "AUDIO=\"b\""), "v.m3u8", "https://user:secret@example.com/v.m3u8?key=secret", 1))
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "secret") {
		t.Errorf("the report tells a secret:\n%s", &b)
	}
	if len(r.Notes) != 1 || r.Has("OBJ-MISSING") {
		t.Errorf("that a playlist is on another server is a note and no finding: %v %v", r.Notes, r.Findings)
	}
}

// TestElsewhere: what a directory's playlists name on servers, or above the
// directory, is not missing; what is no file is.
func TestElsewhere(t *testing.T) {
	one := func(uri string) report.Report {
		return files("d/v.m3u8", edit(vod, "1.ts", uri), "d/0.ts", string(soundSegments(1)[0]), "d/dir/x", "", "2.ts", "")
	}
	for _, uri := range []string{"https://example.com/1.ts", "http://example.com/1.ts?x=1", "../../1.ts", "data:video/mp2t;base64,Rw=="} {
		if r := one(uri); r.Counts["OBJ-MISSING"] != 1 || len(r.Notes) != 1 { // 2.ts is missing
			t.Errorf("%s: %v %v", uri, r.Notes, r.Findings)
		}
	}
	for _, uri := range []string{"../1.ts", "dir", "/none.ts"} {
		if r := one(uri); r.Counts["OBJ-MISSING"] != 2 || len(r.Notes) != 0 {
			t.Errorf("%s: %v %v", uri, r.Notes, r.Findings)
		}
	}
}

// TestBounds: a hostile presentation costs bounded work and findings.
func TestBounds(t *testing.T) {
	many := "#EXTM3U\n" + strings.Repeat("#EXT-X-STREAM-INF:AUDIO=\"a\"\nv.m3u8\n", 2*playlist.MaxVariants)
	if r := one(many); !r.Has("M3U-LIMIT") || len(r.Findings) > report.MaxPerRule*len(r.Counts) {
		t.Errorf("%d findings, M3U-LIMIT: %v", len(r.Findings), r.Has("M3U-LIMIT"))
	}
	deep := "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"" + strings.Repeat("x", 1000) + "\"\n#EXTINF:1,\n" + strings.Repeat("{$a}", 1000) + "\n"
	if r := one(deep); !r.Has("M3U-LIMIT") {
		t.Errorf("variables that explode are not stopped: %v", r.Counts)
	}
}

// TestBoundsTogether: all playlists of a presentation together are bounded,
// not only each of them, whatever the bounds are.
func TestBoundsTogether(t *testing.T) {
	const each, playlists = 100, 20
	list := "#EXTM3U\n#EXT-X-TARGETDURATION:1\n" + strings.Repeat("#EXT-X-GAP\n#EXTINF:1,\na\n", each)
	var names strings.Builder
	names.WriteString("#EXTM3U\n")
	for i := range playlists {
		fmt.Fprintf(&names, "#EXT-X-STREAM-INF:BANDWIDTH=1\n%d.m3u8\n", i)
	}
	if c := New("m.m3u8", Config{}); c.room.listed != playlist.MaxListed || c.room.text != playlist.MaxText {
		t.Errorf("the bounds are %+v, want %d segments and %d bytes", c.room, playlist.MaxListed, playlist.MaxText)
	}
	held := playlist.Parse("p.m3u8", list, nil, new(Report)).Held
	for _, tt := range []struct{ listed, text, want int }{
		{playlists * each, playlists * held, playlists * each},
		{playlists * each / 2, playlists * held, playlists * each / 2},
		{each / 3, playlists * held, each / 3},
		{playlists * each, 3*held + 1, 3 * each},
		{playlists * each, 1, 0},
	} {
		c := New("m.m3u8", Config{Watch: true})
		c.room.listed, c.room.text = tt.listed, tt.text
		for now := at; now.Before(at.Add(3 * time.Second)); now = now.Add(time.Second) { // each is loaded several times
			for w, ok := c.Next(now); ok; w, ok = c.Next(now) {
				text := list
				if w.URI == "m.m3u8" {
					text = names.String()
				}
				c.Put(now, w, Object{Body: []byte(text)})
			}
		}
		kept, r := 0, c.Report()
		for _, m := range c.renditions {
			if m.current != nil {
				kept += cap(m.current.Segments)
			}
		}
		if c.listed != tt.want || kept > 2*tt.want+each || c.text > tt.text || r.Has("M3U-LIMIT") != (tt.want < playlists*each) {
			t.Errorf("of %d segments and %d bytes it keeps %d in room for %d, and %d bytes; want %d segments. Findings: %v", tt.listed, tt.text, c.listed, kept, c.text, tt.want, r.Counts)
		}
	}
}

// TestGoldenSegment: the segment that our muxer is held to breaks no rule.
func TestGoldenSegment(t *testing.T) {
	golden, err := os.ReadFile("../remux/mpegts/testdata/segment.ts")
	if err != nil {
		t.Fatal(err)
	}
	s := stream.Read(golden, false, func(rule, format string, args ...any) { t.Errorf("%s: "+format, append([]any{rule}, args...)...) })
	if len(s.Tracks) != 2 || s.Main() == nil || s.Main().Frames == 0 {
		t.Errorf("it found %d tracks", len(s.Tracks))
	}
}
