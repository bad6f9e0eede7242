package inputs

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"weir/check"
	"weir/hls"
	"weir/ingest"
	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
	"weir/media/h264"
	"weir/remux/flv"
	"weir/remux/mpegts"
)

// Log is what ingest makes of sessions that follow each other, each pause behind
// the end of the one before. All but the last are lost, that one ends cleanly.
func Log(t testing.TB, pause time.Duration, sessions ...Input) []*framelog.Batch {
	t.Helper()
	w := &logWriter{at: synthetic.Wall}
	for i, in := range sessions {
		w.session(t, in, i+1 == len(sessions))
		w.at = w.at.Add(pause)
	}
	return w.batches
}

// logWriter is the log that sessions are appended to.
type logWriter struct {
	batches []*framelog.Batch
	seq     uint64
	epoch   uint64
	at      time.Time
}

func (w *logWriter) add(b *framelog.Batch) {
	w.seq += 3 // others' lie between
	b.First, b.Seq, b.Epoch, b.Session = w.seq-1, w.seq, w.epoch, "s"
	w.batches = append(w.batches, b)
}

func (w *logWriter) session(t testing.TB, in Input, last bool) {
	if w.epoch++; w.epoch > 1 {
		w.add(&framelog.Batch{Header: framelog.Header{Flags: framelog.Fence}})
	}
	batcher := ingest.NewBatcher(ingest.BatcherConfig{})
	take := func(now time.Time) {
		for b := batcher.Take(now); b != nil; b = batcher.Take(now) {
			w.add(b)
		}
	}
	begin := w.at
	for _, tag := range in {
		now := begin.Add(tag.At)
		for due := batcher.Due(); !due.IsZero() && due.Before(now); due = batcher.Due() {
			take(due)
		}
		if err := batcher.Add(now, tag.Tag); err != nil {
			t.Fatalf("a tag of %d bytes at %v: %v", len(tag.Data), tag.At, err)
		}
		take(now)
		w.at = now
	}
	batcher.Flush()
	take(w.at)
	end := framelog.End | framelog.Lost
	if last {
		end = framelog.Final
	}
	w.add(&framelog.Batch{Header: framelog.Header{Flags: end}})
}

// Packaged is what viewers get.
type Packaged struct {
	Names   []string
	Bodies  [][]byte
	Entries []hls.Entry
	Frames  []Frame
	State   *hls.State
	// Dropped is what the cutter says that it has left out.
	Dropped media.Drops
	blob    []byte
	runs    []hls.Entry
}

// Frame is one in a segment.
type Frame struct {
	media.Frame
	Segment int
	// Units are the slices of a picture.
	Units [][]byte
	// Header is what the ADTS header says of a sound, its length left out.
	Header string
}

// Cut cuts a log as a worker does, which is killed before each batch for which
// dies, if it is given, returns true.
func Cut(t testing.TB, set hls.Settings, batches []*framelog.Batch, dies func() bool) *Packaged {
	t.Helper()
	c, err := hls.New(set)
	if err != nil {
		t.Fatal(err)
	}
	p := &Packaged{blob: c.State().Encode()}
	for again := true; again; {
		state, err := hls.ParseState(p.blob)
		if err != nil {
			t.Fatalf("nobody can go on from %s: %v", p.blob, err)
		}
		if c, err = hls.Restore(state); err != nil {
			t.Fatal(err)
		}
		again = false
		for _, b := range batches {
			if b.Seq <= state.Position {
				continue
			}
			if again = dies != nil && dies(); again {
				break
			}
			p.take(c.Push(b)...)
			recall(c, batches)
		}
	}
	p.State, p.Dropped = c.State(), c.Dropped()
	for i, body := range p.Bodies {
		p.demux(i, body)
	}
	return p
}

// recall gives the Cutter the batches that it asks for.
func recall(c *hls.Cutter, batches []*framelog.Batch) {
	first, last, needed := c.Recall()
	if !needed {
		return
	}
	var again []*framelog.Batch
	for _, b := range batches {
		if b.First >= first && b.Seq <= last {
			again = append(again, b)
		}
	}
	c.Replay(again)
}

func (p *Packaged) take(cuts ...*hls.Cut) {
	for _, c := range cuts {
		if s := c.Segment; s != nil {
			p.Names, p.Entries = append(p.Names, s.Name), append(p.Entries, s.Entry)
			p.Bodies = append(p.Bodies, slices.Clone(s.Body))
		}
		p.runs = append(p.runs, slices.Concat(c.Runs...)...)
		p.blob = c.State.Encode()
	}
}

// demux takes a segment apart.
func (p *Packaged) demux(segment int, body []byte) {
	for e := range mpegts.Demux(body) {
		if e.Type != mpegts.EventPES {
			continue
		}
		data := slices.Clone(e.PES.Data)
		f := Frame{Segment: segment, Frame: media.Frame{Kind: media.Video, Key: e.PES.RandomAccess, DTS: e.PES.DTS, PTS: e.PES.PTS, Data: data}}
		if e.PES.Type == mpegts.StreamH264 {
			for nal := range h264.AnnexB(data) {
				if t := h264.TypeOf(nal); t >= h264.Slice && t <= h264.IDR {
					f.Units = append(f.Units, nal)
				}
			}
			p.Frames = append(p.Frames, f)
			continue
		}
		f.Kind = media.Audio
		p.sounds(f, data)
	}
}

// sounds takes the frames out of a PES packet with ADTS frames in it.
func (p *Packaged) sounds(f Frame, data []byte) {
	rates := [...]int64{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	for at := f.PTS; len(data) > 7; {
		n := int(data[3]&3)<<11 | int(data[4])<<3 | int(data[5])>>5
		if n < 7 || n > len(data) {
			return
		}
		f.PTS, f.DTS, f.Data = at, at, data[7:n]
		f.Header = fmt.Sprintf("%d Hz, %d", rates[min(int(data[2]>>2&15), 12)], data[2]&1<<2|data[3]>>6)
		p.Frames = append(p.Frames, f)
		at += 1024 * media.Clock / rates[min(int(data[2]>>2&15), 12)]
		data = data[n:]
	}
}

// Of returns the frames of a kind.
func (p *Packaged) Of(k media.Kind) (all []Frame) {
	for _, f := range p.Frames {
		if f.Kind == k {
			all = append(all, f)
		}
	}
	return all
}

// Playlists are the multivariant and the media playlist of the recording.
func (p *Packaged) Playlists() (multivariant, list string) {
	return string(p.State.Multivariant("vod.m3u8")), string(p.State.VODPlaylist(0, p.runs))
}

// Findings are the rules of weir check that the recording breaks, errors or
// warnings.
func (p *Packaged) Findings(t testing.TB) (errors, warnings []string) {
	t.Helper()
	index, list := p.Playlists()
	files := fstest.MapFS{"index.m3u8": {Data: []byte(index)}, "vod.m3u8": {Data: []byte(list)}}
	for i, name := range p.Names {
		files[name] = &fstest.MapFile{Data: p.Bodies[i]}
	}
	r, err := check.Directory(files, "index.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if text := fmt.Sprintf("%s %s: %s", f.Rule, f.Where, f.Text); f.Severity.String() == "error" {
			errors = append(errors, text)
		} else {
			warnings = append(warnings, text)
		}
	}
	return errors, warnings
}

// header tells whether a tag is one that no frame is in.
func header(t flv.Tag) bool { return t.Type == flv.TagScript || flv.IsSequenceHeader(t) }
