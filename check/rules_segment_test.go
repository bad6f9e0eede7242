package check

import (
	"bytes"
	"encoding/binary"
	"strings"

	"weir/check/report"
	"weir/check/stream"
)

// replaced checks the sound presentation with its second segment replaced by
// what change makes of it, with the right counters and start.
func replaced(change func(m *made)) report.Report { return chain(master, vod, 1, change) }

// chain makes three segments that follow one another, the n-th changed, and
// checks them in their presentation.
func chain(multi, media string, n int, change func(m *made)) report.Report {
	return presentation(multi, media, links(func(i int, m *made) {
		if i == n {
			change(m)
		}
	})...)
}

// links makes three segments that follow one another: a name with its bytes
// each.
func links(change func(i int, m *made)) (replace []any) {
	counters := map[uint16]uint8{}
	audio := int64(0)
	for i := range 3 {
		m := made{start: 900000 + int64(i)*180000, counters: counters, audioLate: audio}
		change(i, &m)
		replace = append(replace, string(rune('0'+i))+".ts", m.bytes())
		audio = 0
		if end := m.start + 180000; m.audioEnd > end { // what has stopped begins again with a segment
			audio = m.audioEnd - end
		}
	}
	return replace
}

// damaged changes the bytes of the second sound segment.
func damaged(change func(b []byte) []byte) report.Report {
	return presentation(master, vod, "1.ts", change(bytes.Clone(soundSegments(3)[1])))
}

// packet finds the n-th packet of a PID.
func packet(b []byte, pid uint16, n int) int {
	for i := 0; i < len(b); i += 188 {
		if binary.BigEndian.Uint16(b[i+1:])&0x1FFF == pid {
			if n--; n < 0 {
				return i
			}
		}
	}
	panic("no such packet")
}

// without is b without n bytes at i.
func without(b []byte, i, n int) []byte { return append(b[:i:i], b[i+n:]...) }

func segmentCases() []ruleCase {
	sound := presentation(master, vod)
	independent := strings.Replace(master, "#EXT-X-INDEPENDENT-SEGMENTS\n", "", 1)
	marked := edit(vod, "0.ts\n", "0.ts\n#EXT-X-DISCONTINUITY\n", "1.ts\n", "1.ts\n#EXT-X-DISCONTINUITY\n")
	marks := func(change func(m *made)) report.Report { return chain(master, marked, 1, change) }
	late := func(m *made) { m.start += 100 * 90000 }
	open := strings.Replace(vod, "#EXT-X-ENDLIST\n", "", 1)
	mute := func(m *made) { m.audioLast, m.audioLate = true, 180000 } // the sound would begin behind its end
	at := func(n int, change func(m *made)) func(i int, m *made) {
		return func(i int, m *made) {
			if i == n {
				change(m)
			}
		}
	}
	segments := soundSegments(3)
	dump := func(b []byte) report.Report { return presentation(master, vod, "1.ts", b) }
	box := func(name string, body ...byte) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), name...), body...)
	}
	mp4 := edit(vod, "VERSION:3", "VERSION:6", "#EXTINF", "#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF")
	init := append(box("ftyp"), box("moov", box("mvex")...)...)
	fragment := append(box("moof", box("traf", box("tfdt")...)...), box("mdat")...)
	fmp4 := func(init, fragment []byte) report.Report {
		return files("v.m3u8", mp4, "i.mp4", string(init), "0.ts", string(fragment), "1.ts", string(fragment), "2.ts", string(fragment))
	}
	lone := func(name, body string) report.Report {
		return files("v.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n"+name+"\n#EXT-X-ENDLIST\n", name, body)
	}
	return []ruleCase{
		{"SEG-FORMAT", dump([]byte("<html>502 Bad Gateway</html>")), sound},
		{"SEG-FORMAT", dump(nil0), sound},
		{"SEG-NO-MEDIA", replaced(func(m *made) { m.noAudio, m.noVideo = true, true }), replaced(func(m *made) { m.noAudio = true })},
		{"SEG-EXTINF", presentation(master, edit(vod, "EXTINF:2.000", "EXTINF:1.400")), presentation(master, edit(vod, "EXTINF:2.000", "EXTINF:1.970"))},
		{"SEG-EXTINF-SUM", presentation(master, edit(vod, "EXTINF:2.000", "EXTINF:1.900")), presentation(master, edit(vod, "EXTINF:2.000", "EXTINF:1.970"))},
		{"SEG-EXTINF-SUM", presentation(master, edit(vod, "EXTINF:2.000", "EXTINF:1.970", "EXTINF:2.000", "EXTINF:1.970")), presentation(master, edit(vod, "EXTINF:2.000", "EXTINF:1.970", "EXTINF:2.000", "EXTINF:2.030"))},
		{"SEG-TIMESTAMP", replaced(late), marks(late)},
		{"SEG-TIMESTAMP", presentation(master, vod, "0.ts", segments[1], "1.ts", segments[0]), sound},
		{"SEG-TIMESTAMP", replaced(func(m *made) { m.start -= 9000 }), chain(master, vod, 2, func(m *made) { m.start += 9000 })},
		{"SEG-HOLE", replaced(func(m *made) { m.skip = map[int]bool{20: true, 21: true, 22: true, 23: true} }), replaced(func(m *made) { m.skip = map[int]bool{20: true} })},
		{"SEG-HOLE", replaced(func(m *made) { m.start += 18000 }), replaced(func(m *made) { m.start += 3600 })},
		{"SEG-TRACKS", replaced(func(m *made) { m.noAudio = true }), marks(func(m *made) { m.noAudio = true })},
		// The same kinds from first to last, EXT-X-DISCONTINUITY or not.
		{"SEG-TRACK-SET", marks(func(m *made) { m.noAudio = true }), sound},
		{"SEG-TRACK-SET", chain(master, vod, 0, func(m *made) { m.noAudio = true }), unbound(func(_ int, m *made) { m.noVideo = true }, vod)},
		{"SEG-TRACK-SET", marks(func(m *made) { m.noVideo = true }), chain(master, vod, 2, func(m *made) { m.noAudio = true })},
		{"SEG-TRACK-SET", unbound(func(i int, m *made) { m.noAudio = i < 2 }, marked), unbound(at(2, func(m *made) { m.noAudio = true }), marked)},
		// A track that is listed is there, the last segment of a show aside.
		{"SEG-TRACK-EMPTY", unbound(at(1, mute), vod), unbound(at(2, mute), vod)},
		{"SEG-TRACK-EMPTY", unbound(at(2, mute), open), unbound(at(1, func(m *made) { m.noAudio = true }), vod)},
		{"SEG-TRACK-EMPTY", unbound(at(1, func(m *made) { paused(m, 0, 50) }), vod), unbound(at(1, func(m *made) { paused(m, 0, 49) }), vod)},
		{"SEG-PARAMETERS", replaced(func(m *made) { m.sps = sps180 }), marks(func(m *made) { m.sps = sps180 })},
		{"SEG-INDEPENDENT", replaced(func(m *made) { m.noKey = true }), chain(independent, vod, 1, func(m *made) { m.noKey = true })},
		{"SEG-INDEPENDENT", replaced(func(m *made) { m.noSets = true }), sound},
		{"SEG-INDEPENDENT-UNSAID", presentation(independent, vod), presentation(independent, edit(vod, "#EXTINF", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF"))},
		{"SEG-IDR", chain(independent, vod, 1, func(m *made) { m.noKey = true }), presentation(independent, vod)},
		{"SEG-PARAMETER-SETS", replaced(func(m *made) { m.noSets = true }), sound},
		{"SEG-KEYFRAMES", chain(master, strings.ReplaceAll(vod, "2.000", "4.000"), 1, func(m *made) { m.seconds, m.gop = 4, 100 }), replaced(func(m *made) { m.gop = 50 })},
		{"SEG-PROFILE", replaced(func(m *made) { m.sps = sps444 }), sound},
		{"SEG-HEVC", replaced(func(m *made) { m.videoType = 0x24 }), sound},
		{"SEG-AUDIO-TRACKS", replaced(func(m *made) { m.secondAudio = true }), sound},
		{"SEG-AV-START", replaced(func(m *made) { m.audioLate = 50000 }), replaced(func(m *made) { m.audioLate = 40000 })},
		{"SEG-AV-DRIFT", replaced(func(m *made) { m.audioStretch = 400 }), replaced(func(m *made) { m.audioStretch = 90 })},
		{"SEG-INTERLEAVE", replaced(func(m *made) { m.audioLast = true }), replaced(func(m *made) { m.audioLate = 45000 })},
		{"SEG-CODECS", presentation(edit(master, "avc1.4d401e", "avc1.42c01e"), vod), presentation(edit(master, "avc1.4d401e", "avc1.4d401f"), vod)},
		{"SEG-CODECS", presentation(edit(master, ",mp4a.40.2", ""), vod), presentation(edit(master, "mp4a.40.2", "mp4a.40.5"), vod)},
		{"SEG-CODECS-EXTRA", presentation(edit(master, ",mp4a.40.2", ",mp4a.40.2,ec-3"), vod), presentation(edit(master, ",mp4a.40.2", ",mp4a.40.2,wvtt"), vod)},
		{"SEG-RESOLUTION", presentation(edit(master, "640x360", "1280x720"), vod), sound},
		{"SEG-FRAME-RATE", presentation(edit(master, "25.000", "30.000"), vod), presentation(edit(master, "25.000", "24.500"), vod)},
		{"SEG-BANDWIDTH", presentation(edit(master, "BANDWIDTH=132400,A", "BANDWIDTH=110000,A"), vod), presentation(edit(master, "BANDWIDTH=132400,A", "BANDWIDTH=125000,A"), vod)},
		{"SEG-BANDWIDTH-LIVE", presentation(edit(master, "BANDWIDTH=132400,A", "BANDWIDTH=100000,A"), open), presentation(edit(master, "BANDWIDTH=132400,A", "BANDWIDTH=110000,A"), open)},
		{"SEG-BANDWIDTH-HIGH", presentation(edit(master, "BANDWIDTH=132400,A", "BANDWIDTH=150000,A"), vod), presentation(edit(master, "BANDWIDTH=132400,A", "BANDWIDTH=150000,A"), open)},
		{"SEG-AVERAGE-BANDWIDTH", presentation(edit(master, "AVERAGE-BANDWIDTH=131600", "AVERAGE-BANDWIDTH=100000"), vod), sound},
		{"MP4-INIT", fmp4(box("ftyp"), fragment), fmp4(init, fragment)},
		{"MP4-INIT", fmp4(append(box("ftyp"), box("moov")...), fragment), fmp4(init, fragment)},
		{"MP4-FRAGMENT", fmp4(init, append(box("moof", box("traf")...), box("mdat")...)), fmp4(init, fragment)},
		{"MP4-FRAGMENT", fmp4(init, fragment[:len(fragment)-2]), fmp4(init, append(box("styp"), fragment...))},
		{"AUD-TIMESTAMP", lone("a.aac", "\xff\xf1\x50\x80"), lone("a.aac", "ID3\x04\x00\x00\x00\x00\x00\x3fPRIV\x00\x00\x00\x35\x00\x00"+stream.TimestampOwner+"\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
		{"VTT-HEADER", lone("a.vtt", "00:00.000 --> 00:01.000\nhello\n"), lone("a.vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n")},
	}
}

// nil0 is a body of no bytes, which is not a missing one.
var nil0 = []byte{}

func streamCases() []ruleCase {
	sound := presentation(master, vod)
	flip := func(i int, mask byte) func([]byte) []byte {
		return func(b []byte) []byte { b[i] ^= mask; return b }
	}
	lost := func(b []byte) []byte { return without(b, packet(b, pidVideo, 7), 188) }
	first := func(pids ...uint16) report.Report {
		return chain(master, vod, 1, func(m *made) {
			for _, pid := range pids {
				m.counters[pid] += 5
				m.counters[pid] &= 15
			}
		})
	}
	marked := edit(vod, "1.ts\n", "1.ts\n#EXT-X-DISCONTINUITY\n")
	mapped := edit(vod, "VERSION:3", "VERSION:6", "#EXTINF", "#EXT-X-MAP:URI=\"0.ts\"\n#EXTINF")
	return []ruleCase{
		{"TS-SYNC", damaged(func(b []byte) []byte { return b[:len(b)-88] }), damaged(func(b []byte) []byte { return b[:len(b)-188] })},
		{"TS-SYNC", damaged(func(b []byte) []byte { return append([]byte("xyz"), b...) }), sound},
		{"TS-SYNC", damaged(flip(5*188, 0x01)), sound},
		{"TS-PAT-PMT", replaced(func(m *made) { m.noTables = true }), chain(master, mapped, 1, func(m *made) { m.noTables = true })},
		{"TS-PAT-FIRST", replaced(func(m *made) { m.sdtFirst = true }), sound},
		{"TS-PROGRAMS", replaced(func(m *made) { m.twoPrograms = true }), sound},
		{"TS-CRC", damaged(flip(188+20, 0x01)), sound},
		{"TS-ERROR", damaged(flip(5*188+1, 0x80)), sound},
		{"TS-SCRAMBLED", damaged(flip(5*188+3, 0x80)), sound},
		{"TS-CONTINUITY", damaged(lost), sound},
		{"TS-CONTINUITY-ACROSS", first(pidVideo), first(0)},
		{"TS-CONTINUITY-ACROSS", damaged(func(b []byte) []byte { return b[:packet(b, pidAudio, 40)] }), chain(master, marked, 2, func(m *made) { m.counters = map[uint16]uint8{pidVideo: 9} })},
		{"TS-CONTINUITY-TABLES", first(0, pidPMT), first(pidVideo)},
		{"TS-PCR-MISSING", replaced(func(m *made) { m.noPCR = true }), replaced(func(m *made) { m.noVideo = true })},
		{"TS-PCR-INTERVAL", replaced(func(m *made) { m.pcrEvery = 3 }), replaced(func(m *made) { m.pcrEvery = 2 })},
		{"TS-PCR-BACK", replaced(func(m *made) { m.pcrBack = true }), sound},
		{"TS-PCR-LATE", replaced(func(m *made) { m.pcrLead = -900 }), replaced(func(m *made) { m.pcrLead = 1 })},
		{"TS-PES", damaged(func(b []byte) []byte { b[packet(b, pidVideo, 0)+4+8+1] = 7; return b }), sound},
		{"TS-PTS-MISSING", replaced(func(m *made) { m.noPTS = true }), sound},
		{"TS-DTS-ORDER", replaced(func(m *made) { m.jitterDTS = true }), sound},
		{"TS-PTS-BEFORE-DTS", replaced(func(m *made) { m.badTimes = true }), sound},
		{"TS-RANDOM-ACCESS", replaced(func(m *made) { m.noFlag = true }), sound},
		{"TS-AUD", replaced(func(m *made) { m.noAUD = true }), sound},
		{"TS-ADTS", replaced(func(m *made) { m.rawAAC = true }), sound},
		{"TS-MPEG-AUDIO", replaced(func(m *made) { m.mp3, m.cutMP3, m.audioType = true, true, 0x04 }), replaced(func(m *made) { m.mp3, m.audioType = true, 0x04 })},
		{"TS-STREAM-TYPE", replaced(func(m *made) { m.videoType = 0x02 }), replaced(func(m *made) { m.audioType = 0x81 })},
	}
}
