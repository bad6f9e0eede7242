package mpegts_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/internal/external"
	"weir/media"
	"weir/remux/mpegts"
)

// probe runs an ffmpeg tool on a stream, or a file, and returns what it prints.
// A word on its standard error is a failure: it would be a complaint.
func probe(t *testing.T, stdin []byte, name string, args ...string) string {
	t.Helper()
	external.Need(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &complaints)
	}
	return out.String()
}

// packets is what ffprobe must print of the frames: stream, PTS, DTS, size, MD5
// of the data; each track in order.
func packets(t *testing.T, cfg mpegts.Config, frames []media.Frame) (lines []string) {
	for i := range frames {
		f := &frames[i]
		b := accessUnit(t, cfg, f)
		track := "video"
		if f.Kind == media.Audio {
			track = "audio"
		}
		lines = append(lines, fmt.Sprintf("%s,%d,%d,%d,MD5:%x", track, f.PTS, f.DTS, len(b), md5.Sum(b)))
	}
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(a[:5], b[:5]) })
	return lines
}

// Another demuxer finds the same frames: in the whole stream, and in each
// segment by itself.
func TestFfprobeFindsTheSameFrames(t *testing.T) {
	clip := readClip(t)
	for name, s := range map[string]stream{"both": clip, "video": clip.only(media.Video), "audio": clip.only(media.Audio)} {
		m := newMuxer(t, s.cfg, mpegts.Continuity{})
		var whole []byte
		for i, frames := range s.segments() {
			segment := mux(t, m, frames)
			whole = append(whole, segment...)
			comparePackets(t, fmt.Sprintf("%s, segment %d", name, i), s.cfg, frames, segment)
		}
		comparePackets(t, name+", whole", s.cfg, s.frames, whole)
	}
}

func comparePackets(t *testing.T, name string, cfg mpegts.Config, frames []media.Frame, ts []byte) {
	t.Helper()
	var got []string
	for _, track := range []string{"a", "v"} {
		text := probe(t, ts, "ffprobe", "-v", "error", "-f", "mpegts", "-select_streams", track,
			"-show_entries", "packet=codec_type,pts,dts,size,data_hash", "-show_data_hash", "md5", "-of", "csv=p=0", "-")
		// ffprobe 5.1 breaks the line where a packet has side data.
		text = strings.ReplaceAll(strings.Join(strings.Fields(text), "\n"), ",\n,", ",")
		got = append(got, strings.Fields(text)...)
	}
	want := packets(t, cfg, frames)
	if len(got) != len(want) {
		t.Errorf("%s: ffprobe finds %d frames, want %d", name, len(got), len(want))
	}
	wrong := 0
	for i := range min(len(got), len(want)) {
		if sameLine(got[i], want[i]) {
			continue
		}
		if wrong++; wrong <= 3 {
			t.Errorf("%s, frame %d: ffprobe finds %s, want %s", name, i, got[i], want[i])
		}
	}
}

// sameLine compares two lines of packets. Audio inside a PES packet has no PTS
// of its own, and ffprobe counts its time in whole ticks: 3 are allowed for.
func sameLine(got, want string) bool {
	g, w := strings.Split(got, ","), strings.Split(want, ",")
	if len(g) != 5 || g[0] != w[0] || g[3] != w[3] || g[4] != w[4] {
		return false
	}
	slack := int64(0)
	if w[0] == "audio" {
		slack = 3
	}
	for i := 1; i <= 2; i++ {
		a, errA := strconv.ParseInt(g[i], 10, 64)
		b, errB := strconv.ParseInt(w[i], 10, 64)
		if errA != nil || errB != nil || !near(a, b, slack) {
			return false
		}
	}
	return true
}

// ffmpeg's HLS reader gives the frames behind the first of an audio PES packet
// their times by a duration that it learns from the first packets: those of a
// first PES packet with several frames came out at the time of its first one.
// So a segment's first one has one frame.
func TestFfmpegPlacesAudioOfAPlaylist(t *testing.T) {
	s := readClip(t).only(media.Audio)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/0.ts", mux(t, newMuxer(t, s.cfg, mpegts.Continuity{}), s.frames), 0o644); err != nil {
		t.Fatal(err)
	}
	playlist := "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:4.1,\n0.ts\n#EXT-X-ENDLIST\n"
	if err := os.WriteFile(dir+"/live.m3u8", []byte(playlist), 0o644); err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(probe(t, nil, "ffprobe", "-v", "error", "-show_entries", "packet=pts", "-of", "csv=p=0", dir+"/live.m3u8"))
	if len(got) != len(s.frames) {
		t.Fatalf("%d frames, want %d", len(got), len(s.frames))
	}
	for i, f := range s.frames {
		pts, err := strconv.ParseInt(strings.TrimRight(got[i], ","), 10, 64)
		if err != nil || !near(pts, f.PTS, 3) {
			t.Errorf("frame %d at %s, want %d", i, got[i], f.PTS)
		}
	}
}

// What ffmpeg decodes out of the stream is what it decodes out of the clip.
func TestFfmpegDecodesTheSamePictures(t *testing.T) {
	s := readClip(t)
	m := newMuxer(t, s.cfg, mpegts.Continuity{})
	var ts []byte
	for _, frames := range s.segments() {
		ts = append(ts, mux(t, m, frames)...)
	}
	for _, track := range []string{"0:v", "0:a"} {
		args := []string{"-v", "error", "-i", clipFile, "-map", track, "-f", "framemd5", "-"}
		want := decoded(probe(t, nil, "ffmpeg", args...))
		args[3] = "-"
		got := decoded(probe(t, ts, "ffmpeg", args...))
		if len(want) < 100 || !slices.Equal(got, want) {
			t.Errorf("%s: %d decoded frames, not the clip's %d", track, len(got), len(want))
		}
	}
}

// decoded returns the hashes of a framemd5 listing.
func decoded(text string) (hashes []string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			f := strings.Split(line, ",")
			hashes = append(hashes, strings.TrimSpace(f[len(f)-1]))
		}
	}
	return hashes
}
