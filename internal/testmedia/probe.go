package testmedia

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/external"
	"weir/media"
)

// Packet is one access unit as ffmpeg reads it out of a container.
type Packet struct {
	Kind media.Kind
	// PTS, DTS and Duration are rounded to the nanosecond.
	PTS, DTS, Duration time.Duration
	// Size is the length in bytes of what MD5 is the hash of: the frame in a
	// form that no container changes. Video: Annex B without SPS, PPS and
	// access unit delimiters. AAC: without ADTS.
	Size int
	MD5  string
	// Key is ffmpeg's key flag: for H.264, an IDR picture or a recovery point.
	Key bool
}

// Probe returns the packets of the first video and the first audio stream of a
// file, playlist or URL, H.264 and AAC, in the order they are stored.
func Probe(t testing.TB, input string) []Packet {
	t.Helper()
	return probe(t, input, "aac_adtstoasc")
}

// ProbeMP3 is Probe for what has MP3 as its sound: its frames are the same in
// every container.
func ProbeMP3(t testing.TB, input string) []Packet {
	t.Helper()
	return probe(t, input, "null")
}

func probe(t testing.TB, input, audioFilter string) []Packet {
	t.Helper()
	dir := t.TempDir()
	hashes, flags := filepath.Join(dir, "hashes"), filepath.Join(dir, "flags")
	args := []string{"-v", "error", "-copyts", "-i", input}
	for _, output := range [][]string{{"-f", "framehash", "-hash", "md5", hashes}, {"-f", "framecrc", flags}} {
		// Nothing is held back: not what comes before the first key frame, nor
		// timestamps below zero.
		args = append(args, "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy", "-copyinkf", "-avoid_negative_ts", "disabled",
			"-bsf:v", "h264_mp4toannexb,filter_units=remove_types=7-9", "-bsf:a", audioFilter)
		args = append(args, output...)
	}
	run(t, "ffmpeg", args...)
	packets, err := parsePackets(readFile(t, hashes), readFile(t, flags))
	if err != nil {
		t.Fatalf("probe %s: %v", input, err)
	}
	return packets
}

// parsePackets joins ffmpeg's two lists of the same packets. The streams'
// order may differ between them, that within a stream does not.
func parsePackets(hashes, flags []byte) ([]Packet, error) {
	h, err := parseFrameList(hashes)
	if err != nil {
		return nil, err
	}
	f, err := parseFrameList(flags)
	if err != nil {
		return nil, err
	}
	keys := map[media.Kind][]bool{}
	for _, l := range f {
		// framecrc tells the flags only where they differ from key alone.
		keys[l.Kind] = append(keys[l.Kind], len(l.rest) == 0 || l.rest[0] == "F=0x1" || !strings.HasPrefix(l.rest[0], "F=0x"))
	}
	packets := make([]Packet, 0, len(h))
	for _, l := range h {
		if len(keys[l.Kind]) == 0 {
			return nil, fmt.Errorf("parse packets: %d hashed, %d with flags", len(h), len(f))
		}
		l.Key, keys[l.Kind] = keys[l.Kind][0], keys[l.Kind][1:]
		packets = append(packets, l.Packet)
	}
	return packets, nil
}

// listed is one line of ffmpeg's framehash or framecrc format.
type listed struct {
	Packet
	rest []string
}

// parseFrameList reads the lines "stream, dts, pts, duration, size, hash" and
// the header that gives each stream's time base and kind.
func parseFrameList(text []byte) (lines []listed, err error) {
	base := map[string][2]int64{}
	kind := map[string]media.Kind{}
	s := bufio.NewScanner(bytes.NewReader(text))
	for s.Scan() {
		if name, value, ok := strings.Cut(strings.TrimPrefix(s.Text(), "#"), ": "); ok && strings.HasPrefix(s.Text(), "#") {
			what, stream, _ := strings.Cut(name, " ")
			switch what {
			case "tb":
				var b [2]int64
				if _, err := fmt.Sscanf(value, "%d/%d", &b[0], &b[1]); err != nil {
					return nil, fmt.Errorf("parse time base %q: %w", value, err)
				}
				base[stream] = b
			case "media_type":
				kind[stream] = map[string]media.Kind{"video": media.Video, "audio": media.Audio}[value]
			}
			continue
		}
		if strings.HasPrefix(s.Text(), "#") || s.Text() == "" {
			continue
		}
		f := strings.Split(s.Text(), ",")
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if len(f) < 6 {
			return nil, fmt.Errorf("parse packet %q: %d fields, want 6", s.Text(), len(f))
		}
		l := listed{Packet: Packet{Kind: kind[f[0]], MD5: f[5]}, rest: f[6:]}
		var n [4]int64
		for i := range n {
			if n[i], err = strconv.ParseInt(f[i+1], 10, 64); err != nil {
				return nil, fmt.Errorf("parse packet %q: %w", s.Text(), err)
			}
		}
		b := base[f[0]]
		l.DTS, l.PTS, l.Duration, l.Size = nanoseconds(n[0], b), nanoseconds(n[1], b), nanoseconds(n[2], b), int(n[3])
		lines = append(lines, l)
	}
	return lines, s.Err()
}

// nanoseconds is n units of the time base, rounded to the nearest.
func nanoseconds(n int64, base [2]int64) time.Duration {
	const second = int64(time.Second)
	whole, rest := n*base[0]/base[1], n*base[0]%base[1]
	half := base[1] / 2
	if rest < 0 {
		half = -half
	}
	return time.Duration(whole*second + (rest*second+half)/base[1])
}

// FrameMD5 decodes the first video stream and returns the hash of each
// picture, in the order of presentation.
func FrameMD5(t testing.TB, input string) []string {
	t.Helper()
	out := run(t, "ffmpeg", "-v", "error", "-xerror", "-i", input, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framehash", "-hash", "md5", "-")
	lines, err := parseFrameList(out)
	if err != nil {
		t.Fatalf("decode %s: %v", input, err)
	}
	hashes := make([]string, len(lines))
	for i, l := range lines {
		hashes[i] = l.MD5
	}
	return hashes
}

// Counters decodes the first video stream and returns the counter burnt into
// each picture, in the order of presentation; -1 where it cannot be read.
func Counters(t testing.TB, input string) []int {
	t.Helper()
	// The strip along the top is all that is needed, and grey; 640 pixels are
	// enough to read it.
	const width, height = 640, 60
	out := run(t, "ffmpeg", "-v", "error", "-i", input, "-map", "0:v:0", "-fps_mode", "passthrough",
		"-vf", fmt.Sprintf("crop=iw:ih/6:0:0,scale=%d:%d", width, height), "-pix_fmt", "gray", "-f", "rawvideo", "-")
	var counters []int
	for len(out) >= width*height {
		n, err := ReadCounter(&image.Gray{Pix: out[:width*height], Stride: width, Rect: image.Rect(0, 0, width, height)})
		if err != nil {
			n = -1
		}
		counters = append(counters, n)
		out = out[width*height:]
	}
	return counters
}

// run runs a program and returns its standard output.
func run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	external.Need(t, name)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("run %s: %v\n%s", name, err, stderr.Bytes())
	}
	return stdout.Bytes()
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
