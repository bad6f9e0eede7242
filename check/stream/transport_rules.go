package stream

import (
	"fmt"
	"slices"

	"weir/media"
	"weir/media/h264"
	"weir/remux/mpegts"
)

// messages say what each counted fault of a segment is.
var messages = []struct{ rule, text string }{
	{"TS-SYNC", "%d times what should begin a packet does not, or the last one is cut"},
	{"TS-ERROR", "%d packets have transport_error_indicator set"},
	{"TS-SCRAMBLED", "%d packets are scrambled"},
	{"TS-CRC", "%d tables are damaged"},
	{"TS-CONTINUITY", "%d times packets are missing"},
	{"TS-PES", "%d PES packets are damaged"},
	{"TS-ADTS", "%d PES packets hold something else than ADTS frames"},
	{"TS-MPEG-AUDIO", "%d PES packets hold something else than frames of MPEG audio"},
	{"TS-DTS-ORDER", "%d frames have a DTS that is not above the one before"},
	{"TS-PTS-BEFORE-DTS", "%d frames have a PTS below their DTS"},
}

// finish reports what was counted, and what shows only of the whole segment.
func (r *reader) finish(mapped bool) {
	for _, t := range r.Tracks {
		t.settle()
		if len(t.audio.rest) > 0 {
			r.count(chainRule(t.Type))
		}
	}
	for _, m := range messages {
		if n := r.faults[m.rule]; n > 0 {
			r.fail(m.rule, m.text, n)
		}
	}
	if (!r.hasPAT || !r.hasPMT) && !mapped {
		r.fail("TS-PAT-PMT", "PAT: %v, PMT: %v", r.hasPAT, r.hasPMT)
	} else if !mapped && (len(r.order) < 2 || r.order[0] != 0 || !r.PMTs[r.order[1]]) {
		r.fail("TS-PAT-FIRST", "the first packets are of PID %v", r.order)
	}
	if r.programs > 1 {
		r.fail("TS-PROGRAMS", "the PAT lists %d programs", r.programs)
	}
	sounds, heard := 0, 0
	for _, t := range r.Tracks {
		r.checkTrack(t)
		if t.Kind != 0 {
			heard += t.Packets
		}
		if t.Kind == media.Audio {
			sounds++
		}
	}
	if sounds > 1 {
		r.fail("SEG-AUDIO-TRACKS", "the PMT lists %d audio streams", sounds)
	}
	if r.hasPMT && heard == 0 {
		r.fail("SEG-NO-MEDIA", "no audio and no video is in it")
	}
	r.checkClock()
	r.checkInterleave()
}

// checkTrack reports what is wrong with one track.
func (r *reader) checkTrack(t *Track) {
	switch t.Type {
	case 0x01, 0x02, 0x10, 0x33, 0x11:
		r.fail("TS-STREAM-TYPE", "PID %d has stream type 0x%02x", t.PID, uint8(t.Type))
	case mpegts.StreamHEVC:
		r.fail("SEG-HEVC", "PID %d is HEVC in a transport stream", t.PID)
	}
	if t.noPTS > 0 {
		r.fail("TS-PTS-MISSING", "%d PES packets of PID %d have no PTS", t.noPTS, t.PID)
	}
	if t.noAUD > 0 {
		r.fail("TS-AUD", "%d of %d pictures begin without an access unit delimiter", t.noAUD, t.Frames)
	}
	if t.noFlag > 0 {
		r.fail("TS-RANDOM-ACCESS", "%d IDR pictures lack random_access_indicator", t.noFlag)
	}
	if t.Hole > 0 {
		r.fail("SEG-HOLE", "%s of PID %d has a hole of %.3f s", t.Kind, t.PID, Seconds(t.Hole))
	}
	if t.drift > media.Clock/20 {
		r.fail("SEG-AV-DRIFT", "timestamps and samples of PID %d part by %.3f s", t.PID, Seconds(t.drift))
	}
	if t.Type != mpegts.StreamH264 {
		return
	}
	if t.Frames > 0 && t.AnyKey && !t.Keyed {
		r.fail("SEG-PARAMETER-SETS", "no SPS and PPS come before the first IDR picture")
	}
	if limit := int64(2.1 * media.Clock); t.keyGap > limit {
		r.fail("SEG-KEYFRAMES", "%.3f s pass without an IDR picture", Seconds(t.keyGap))
	}
	if s, err := h264.ParseSPS(t.sps); err == nil && (s.ChromaFormat != 1 || s.LumaDepth > 8 || s.Profile > 100) {
		r.fail("SEG-PROFILE", "the video is of profile %d, chroma format %d, %d bits", s.Profile, s.ChromaFormat, s.LumaDepth)
	}
}

// Seconds is ticks of 90 kHz in seconds.
func Seconds(ticks int64) float64 { return float64(ticks) / media.Clock }

// checkClock follows the PCR through the file: its interval, its order, and
// frames that come too late for it (ISO/IEC 13818-1, 2.7.2, 2.4.2).
func (r *reader) checkClock() {
	slices.SortStableFunc(r.stamps, func(a, b stamp) int { return int(a.packet - b.packet) })
	var last, longest, late int64
	var count, long, back, lates int
	for _, s := range r.stamps {
		if s.kind != 0 {
			if behind := last - s.at; count > 0 && behind > media.Clock/1000 {
				lates++
				late = max(late, behind)
			}
			continue
		}
		if step := s.at - last; count > 0 && step < 0 {
			back++
		} else if count > 0 && step > media.Clock/10+media.Clock/1000 {
			long++
			longest = max(longest, step)
		}
		last = s.at
		count++
	}
	if r.hasPMT && count == 0 && len(r.stamps) > 0 {
		r.fail("TS-PCR-MISSING", "PID %d carries no PCR", r.PMT.PCR)
	}
	if back > 0 {
		r.fail("TS-PCR-BACK", "%d clock references go back", back)
	}
	if long > 0 {
		r.fail("TS-PCR-INTERVAL", "%d intervals between clock references are longer than 100 ms, the longest %.3f s", long, Seconds(longest))
	}
	if lates > 0 && back == 0 {
		r.fail("TS-PCR-LATE", "%d frames come after their DTS, by up to %.3f s", lates, Seconds(late))
	}
}

// checkInterleave compares where audio and video lie in the file, and where
// they begin.
func (r *reader) checkInterleave() {
	v, a := r.First(media.Video), r.First(media.Audio)
	if v == nil || a == nil {
		return
	}
	// Until the first picture of a slow video, the last of the segment before
	// stands; where there is one picture, nobody knows for how long.
	if d := abs(v.MinPTS - a.MinPTS); d > media.Clock/2+v.Step && v.Step > 0 {
		r.fail("SEG-AV-START", "audio and video begin %.3f s apart", Seconds(d))
	}
	// What lies behind the other in the file, and is to be played well before
	// it, came late. That the other runs ahead is no fault: where a picture
	// stands for long, none comes.
	latest := map[media.Kind]int64{}
	var worst int64
	for _, s := range r.stamps {
		if s.kind == 0 {
			continue
		}
		other := media.Video
		if s.kind == media.Video {
			other = media.Audio
		}
		if at, ok := latest[other]; ok {
			worst = max(worst, at-s.at)
		}
		if at, ok := latest[s.kind]; !ok || s.at > at {
			latest[s.kind] = s.at
		}
	}
	if worst > media.Clock {
		r.fail("SEG-INTERLEAVE", "audio and video of the same place are %.3f s apart", Seconds(worst))
	}
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// h264Codec is the CODECS value of an SPS (RFC 6381, 3.3).
func h264Codec(s h264.SPS) string {
	return fmt.Sprintf("avc1.%02x%02x%02x", s.Profile, s.Constraints, s.Level)
}
