package stream

import (
	"bytes"
	"errors"
	"math"
	"slices"

	"weir/check/report"
	"weir/media"
	"weir/media/h264"
	"weir/remux/mpegts"
)

// tsClock is the 27 MHz of the PCR in ticks of media.Clock.
const tsClock = 300

// stamp is a timestamp with its place in the file, in packets.
type stamp struct {
	packet int64
	kind   media.Kind // 0: a PCR
	at     int64      // 90 kHz, unwrapped
}

// reader takes a transport stream apart.
type reader struct {
	Stream
	fail    report.Func
	demuxer *mpegts.Demuxer
	stamps  []stamp
	// counter is that of pid, the PID of the last packet.
	counter *counter
	pid     uint16
	// zero is the first timestamp: others are unwrapped around it.
	zero     int64
	hasZero  bool
	programs int
	hasPAT   bool
	hasPMT   bool
	order    []uint16 // PIDs of the first two packets
	faults   map[string]int
}

// Read analyses a transport stream segment. mapped: it has an EXT-X-MAP,
// and needs no tables of its own.
func Read(body []byte, mapped bool, fail report.Func) *Stream {
	r := &reader{
		Stream: Stream{Counters: map[uint16]*counter{}, PMTs: map[uint16]bool{}},
		fail:   fail, demuxer: mpegts.NewDemuxer(), faults: map[string]int{},
	}
	for body = r.sync(body); len(body) >= mpegts.PacketSize; {
		if body[0] != 0x47 {
			r.count("TS-SYNC")
			body = r.sync(body)
			continue
		}
		r.take(body[:mpegts.PacketSize])
		body = body[mpegts.PacketSize:]
	}
	if len(body) > 0 {
		r.count("TS-SYNC")
	}
	r.events(r.demuxer.Flush())
	r.finish(mapped)
	return &r.Stream
}

// sync goes on to the next byte that begins a packet.
func (r *reader) sync(body []byte) []byte {
	for skipped := 0; ; {
		i := bytes.IndexByte(body, 0x47)
		if i < 0 {
			r.count("TS-SYNC")
			return nil
		}
		if skipped += i; skipped > 0 {
			r.count("TS-SYNC")
		}
		body = body[i:]
		if len(body) <= mpegts.PacketSize || body[mpegts.PacketSize] == 0x47 {
			return body
		}
		body, skipped = body[1:], skipped+1
	}
}

// count counts a fault of a kind of which a segment reports one.
func (r *reader) count(rule string) { r.faults[rule]++ }

// take reads one packet.
func (r *reader) take(b []byte) {
	p, err := mpegts.ParsePacket(b)
	switch {
	case err != nil:
		r.count("TS-SYNC")
		return
	case p.Damaged:
		r.count("TS-ERROR")
		return
	}
	if len(r.order) < 2 {
		r.order = append(r.order, p.PID)
	}
	if p.PID == 0x1fff {
		return
	}
	if r.counter == nil || r.pid != p.PID {
		r.pid, r.counter = p.PID, r.Counters[p.PID]
	}
	if r.counter == nil {
		r.counter = &counter{First: p.Continuity, Payload: p.HasPayload, Free: p.Discontinued}
		r.Counters[p.PID] = r.counter
	}
	r.counter.Last = p.Continuity
	if p.Scrambling != 0 {
		r.count("TS-SCRAMBLED")
		return
	}
	r.events(r.demuxer.Push(b))
}

// events takes in what the demuxer found.
func (r *reader) events(events []mpegts.Event) {
	for i := range events {
		e := &events[i]
		switch e.Type {
		case mpegts.EventPAT:
			r.hasPAT = true
			r.pat(e.PAT)
		case mpegts.EventPMT:
			r.hasPMT = true
			r.table(e.PMT)
		case mpegts.EventPCR:
			if e.PID == r.PMT.PCR {
				r.stamps = append(r.stamps, stamp{e.Packet, 0, r.unwrap(e.PCR / tsClock)})
			}
		case mpegts.EventPES:
			if t := r.track(e.PES.PID); t != nil {
				r.pes(t, &e.PES)
			}
		case mpegts.EventFault:
			r.count(r.ruleOf(e))
		}
	}
}

// ruleOf sorts the demuxer's faults.
func (r *reader) ruleOf(e *mpegts.Event) string {
	switch {
	case errors.Is(e.Err, mpegts.ErrContinuity):
		return "TS-CONTINUITY"
	case e.PID == 0 || r.PMTs[e.PID]:
		return "TS-CRC"
	}
	return "TS-PES"
}

func (r *reader) pat(t mpegts.PAT) {
	n := 0
	for _, p := range t.Programs {
		if p.Number != 0 { // 0 is the network information table
			n++
			r.PMTs[p.PMT] = true
		}
	}
	r.programs = max(r.programs, n)
}

// table takes over the tracks of a PMT.
func (r *reader) table(t mpegts.PMT) {
	r.PMT = t
	for _, es := range t.Streams {
		if r.track(es.PID) == nil && len(r.Tracks) < 64 {
			r.Tracks = append(r.Tracks, &Track{PID: es.PID, Type: es.Type, Kind: kindOf(es.Type)})
		}
	}
}

func (r *reader) track(pid uint16) *Track {
	for _, t := range r.Tracks {
		if t.PID == pid {
			return t
		}
	}
	return nil
}

// kindOf sorts stream types (ISO/IEC 13818-1, table 2-34).
func kindOf(t mpegts.StreamType) media.Kind {
	switch t {
	case mpegts.StreamH264, mpegts.StreamHEVC, 0x01, 0x02, 0x10, 0x33:
		return media.Video
	case mpegts.StreamAAC, mpegts.StreamMPEG1Audio, mpegts.StreamMPEG2Audio, mpegts.StreamAC3, mpegts.StreamEAC3, 0x11:
		return media.Audio
	}
	return 0
}

// unwrap makes a 33-bit timestamp one that can be compared in this segment.
func (r *reader) unwrap(t int64) int64 {
	if !r.hasZero {
		r.zero, r.hasZero = t, true
	}
	return r.zero + Difference(t, r.zero)
}

// Difference is a − b on a clock of 33 bits.
func Difference(a, b int64) int64 {
	d := (a - b) & mpegts.ClockMask
	if d > mpegts.ClockMask/2 {
		d -= mpegts.ClockMask + 1
	}
	return d
}

// pes takes in a PES packet.
func (r *reader) pes(t *Track, p *mpegts.PES) {
	if t.Kind == 0 {
		return
	}
	t.Packets++
	if !p.HasPTS {
		t.noPTS++
		r.contents(t, p, t.maxPTS+t.Step)
		return
	}
	pts, dts := r.unwrap(p.PTS), r.unwrap(p.DTS)
	if pts < dts {
		r.count("TS-PTS-BEFORE-DTS")
	}
	r.stamps = append(r.stamps, stamp{p.Packet, t.Kind, dts})
	if !t.Stamped {
		t.Stamped = true
		t.last, t.MinPTS, t.maxPTS, t.firstPTS, t.lastKey = dts, pts, pts, pts, dts
	} else {
		step := dts - t.last
		if step <= 0 {
			r.count("TS-DTS-ORDER")
		} else {
			t.steps = append(t.steps, step)
		}
		t.last = dts
		t.MinPTS, t.maxPTS = min(t.MinPTS, pts), max(t.maxPTS, pts)
	}
	r.contents(t, p, pts)
}

// contents looks into the elementary stream.
func (r *reader) contents(t *Track, p *mpegts.PES, pts int64) {
	switch t.Type {
	case mpegts.StreamH264:
		t.pictures(p)
	case mpegts.StreamAAC, mpegts.StreamMPEG1Audio, mpegts.StreamMPEG2Audio:
		take := t.takeADTS
		if t.Type != mpegts.StreamAAC {
			take = t.takeMP3
		}
		if !take(p.Data, pts) && !p.Damaged {
			r.count(chainRule(t.Type))
		}
	}
	t.Frames++
}

// pictures looks at an H.264 access unit, up to its first slice: in its head,
// and only then in all of it.
func (t *Track) pictures(p *mpegts.PES) {
	if head := p.Data[:min(len(p.Data), 4096)]; !t.picture(p, head) && len(head) < len(p.Data) {
		t.picture(p, p.Data)
	}
}

// picture takes in an access unit if its first slice begins in data.
func (t *Track) picture(p *mpegts.PES, data []byte) bool {
	var aud, pps bool
	var sps []byte
	first := true
	for nal := range h264.AnnexB(data) {
		switch typ := h264.TypeOf(nal); typ {
		case h264.Delimiter:
			aud = aud || first
		case h264.SequenceParams:
			sps = nal
		case h264.PictureParams:
			pps = true
		case h264.IDR, h264.Slice, h264.PartitionA:
			if sps != nil {
				t.takeSPS(sps)
			}
			if !aud {
				t.noAUD++
			}
			t.slice(p, typ == h264.IDR, sps != nil && pps)
			return true
		}
		first = false
	}
	return false
}

// slice takes in the first slice of a picture.
func (t *Track) slice(p *mpegts.PES, idr, sets bool) {
	t.sets = t.sets || sets
	if t.Frames == 0 {
		t.FirstKey = idr
	}
	if !idr {
		t.dependent = true
		return
	}
	if !p.RandomAccess {
		t.noFlag++
	}
	if !t.AnyKey {
		t.AnyKey = true
		t.Keyed = t.sets
	}
	if t.dependent { // where all are IDR pictures, they cannot come sooner
		t.keyGap = max(t.keyGap, t.last-t.lastKey)
	}
	t.lastKey, t.dependent = t.last, false
}

// takeSPS takes in a sequence parameter set.
func (t *Track) takeSPS(nal []byte) {
	if t.sps != nil && bytes.Equal(t.sps, nal) {
		return
	}
	s, err := h264.ParseSPS(nal)
	if err != nil {
		return
	}
	t.sps = bytes.Clone(nal)
	t.Size = Size{s.Width, s.Height}
	t.Codec = h264Codec(s)
	t.Parameters = addParams(t.Parameters, t.Codec+" "+t.Size.String())
}

// addParams joins what a track is, and what it becomes.
func addParams(params, more string) string {
	if params == "" || params == more {
		return more
	}
	return report.Clip(params+", then "+more, 200)
}

// settle computes what needs the whole track: the frame's length and the hole.
func (t *Track) settle() {
	if t.Kind == media.Audio && t.audio.rate > 0 {
		t.Step = t.audio.frameTicks()
		t.maxPTS = max(t.maxPTS, t.audio.stampedEnd()-t.Step)
		t.Hole, t.drift = t.audio.hole, t.audio.drift
		t.steps = nil
		return
	}
	// Pictures less than a millisecond apart are there for the decoder, not to
	// be seen: they say nothing of the rate.
	t.steps = slices.DeleteFunc(t.steps, func(step int64) bool { return step < media.Clock/1000 })
	if len(t.steps) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(t.steps))
	t.Step = sorted[len(sorted)/2]
	if longest := sorted[len(sorted)-1] - t.Step; longest > max(media.Clock/10, 2*t.Step) {
		t.Hole = longest
	}
	if t.dependent {
		t.keyGap = max(t.keyGap, t.last+t.Step-t.lastKey)
	}
	t.steps = nil
}

// Rate is the frames per second of a video track, 0 where unknown.
func (t *Track) Rate() float64 {
	if t.Step <= 0 {
		return 0
	}
	return math.Round(float64(media.Clock)/float64(t.Step)*1000) / 1000
}
