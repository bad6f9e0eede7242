//go:build unix

package testweir

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/media"
	"weir/remux/mpegts"
)

// Increasing moves frames that repeat the DTS of the one before them by one
// tick of the 90 kHz clock: in MPEG-TS it must increase.
func Increasing(packets []testmedia.Packet) []testmedia.Packet {
	last := map[media.Kind]time.Duration{media.Video: -time.Hour, media.Audio: -time.Hour}
	repeats := map[media.Kind]time.Duration{}
	for i := range packets {
		p := &packets[i]
		dts := p.DTS
		if dts == last[p.Kind] {
			repeats[p.Kind]++
			p.DTS += repeats[p.Kind] * time.Second / media.Clock
			p.PTS = max(p.PTS, p.DTS)
		} else {
			repeats[p.Kind] = 0
		}
		last[p.Kind] = dts
	}
	return packets
}

// CheckSegments looks at each segment of a rendition's directory by the rules
// of RFC 8216, 3 and ISO/IEC 13818-1.
func CheckSegments(t testing.TB, dir string, spec testmedia.Spec) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.ts"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	slices.Sort(names)
	durations := extinf(t, filepath.Join(dir, "vod.m3u8"))
	if len(durations) != len(names) {
		t.Fatalf("vod.m3u8 lists %d segments of %d", len(durations), len(names))
	}
	whole := mpegts.NewDemuxer() // continuity runs on across segments
	var starts []int64
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for p := body; len(p) >= mpegts.PacketSize; p = p[mpegts.PacketSize:] {
			for _, e := range whole.Push(p[:mpegts.PacketSize]) {
				if e.Type == mpegts.EventFault {
					t.Errorf("%s: packet %d, PID %d: %v", filepath.Base(name), e.Packet, e.PID, e.Err)
				}
			}
		}
		starts = append(starts, checkSegment(t, filepath.Base(name), body, spec))
		decodesAlone(t, name, spec)
	}
	for i, next := range starts[1:] {
		if d := time.Duration(next-starts[i]) * time.Second / media.Clock; (d - durations[i]).Abs() > time.Millisecond {
			t.Errorf("segment %d: EXTINF %v, its media lasts %v", i, durations[i], d)
		}
	}
}

// checkSegment returns the PTS of the segment's first picture, or of its
// first sound.
func checkSegment(t testing.TB, name string, body []byte, spec testmedia.Spec) int64 {
	t.Helper()
	const maxPCR = 27_000_000 / 10
	if !startsWithTables(body) {
		t.Errorf("%s does not begin with PAT and PMT", name)
	}
	lastPCR, start := int64(-1), int64(-1)
	for e := range mpegts.Demux(body) {
		switch e.Type {
		case mpegts.EventPCR:
			if lastPCR >= 0 && e.PCR-lastPCR > maxPCR {
				t.Errorf("%s: %d ms between two PCR, want at most 100", name, (e.PCR-lastPCR)/27000)
			}
			lastPCR = e.PCR
		case mpegts.EventPES:
			video := e.PES.StreamID == 0xe0
			if start >= 0 || video != spec.Video {
				continue
			}
			start = e.PES.PTS
			if video {
				checkFirstPicture(t, name, e.PES.Data)
			}
		}
	}
	return start
}

func startsWithTables(body []byte) bool {
	pid := func(p []byte) int { return int(p[1]&0x1f)<<8 | int(p[2]) }
	if len(body) < 2*mpegts.PacketSize || pid(body) != 0 {
		return false
	}
	for e := range mpegts.Demux(body[:2*mpegts.PacketSize]) {
		if e.Type == mpegts.EventPMT {
			return true
		}
	}
	return false
}

// checkFirstPicture wants AUD, SPS, PPS and an IDR slice, in this order.
func checkFirstPicture(t testing.TB, name string, annexB []byte) {
	t.Helper()
	var kinds []byte
	for _, nal := range bytes.Split(annexB, []byte{0, 0, 1})[1:] {
		if len(nal) > 0 {
			kinds = append(kinds, nal[0]&0x1f)
		}
	}
	kinds = slices.DeleteFunc(kinds, func(k byte) bool { return k == 6 }) // SEI may stand anywhere before the slice
	if len(kinds) < 4 || !bytes.Equal(kinds[:4], []byte{9, 7, 8, 5}) {
		t.Errorf("%s: the first picture is NAL units %v, want AUD, SPS, PPS, IDR (9 7 8 5)", name, kinds)
	}
}

// decodesAlone decodes a segment by itself.
func decodesAlone(t testing.TB, name string, spec testmedia.Spec) {
	t.Helper()
	if !spec.Video {
		return
	}
	for i, n := range testmedia.Counters(t, name) {
		if n < 0 {
			t.Errorf("%s: picture %d cannot be read", filepath.Base(name), i)
		}
	}
}

func extinf(t testing.TB, playlist string) []time.Duration {
	t.Helper()
	body, err := os.ReadFile(playlist)
	if err != nil {
		t.Fatal(err)
	}
	var all []time.Duration
	for line := range strings.SplitSeq(string(body), "\n") {
		if v, ok := strings.CutPrefix(line, "#EXTINF:"); ok {
			d, err := time.ParseDuration(strings.TrimSuffix(v, ",") + "s")
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
	}
	return all
}
