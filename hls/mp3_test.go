package hls

import (
	"bytes"
	"slices"
	"testing"

	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
	"weir/media/mp3"
	"weir/remux/flv"
	"weir/remux/mpegts"
)

// soundOf returns what the audio PES packets of segments hold, by stream_type,
// and the PTS of the first.
func soundOf(t *testing.T, bodies [][]byte) (data map[mpegts.StreamType][]byte, first int64) {
	t.Helper()
	data, first = make(map[mpegts.StreamType][]byte), -1
	for _, body := range bodies {
		for e := range mpegts.Demux(body) {
			if e.Type == mpegts.EventFault {
				t.Fatal(e.Err)
			}
			if e.Type != mpegts.EventPES || e.PES.StreamID != 0xc0 {
				continue
			}
			data[e.PES.Type] = append(data[e.PES.Type], e.PES.Data...)
			if first < 0 {
				first = e.PES.PTS
			}
		}
	}
	return data, first
}

// sent are the bodies of a show's MP3 tags, behind their first byte.
func sent(tags []flv.Tag) (all []byte) {
	for _, t := range tags {
		if t.Type == flv.TagAudio && t.Data[0] == 0x2f {
			all = append(all, t.Data[1:]...)
		}
	}
	return all
}

// MP3 is packaged as it came: every frame once, under the stream_type of its
// specification, at its time, also where several come in one message.
func TestMP3(t *testing.T) {
	for _, tt := range []struct {
		name  string
		show  func(*synthetic.Show)
		video bool
	}{
		{"a frame a message", func(s *synthetic.Show) { s.MP3 = 1 }, true},
		{"four", func(s *synthetic.Show) { s.MP3 = 4 }, true},
		{"no pictures", func(s *synthetic.Show) { s.MP3, s.Video = 1, false }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := synthetic.New(12)
			tt.show(&s)
			tags := s.Tags()
			out := cutAll(t, newCutter(t, settings), synthetic.Record(t, s).Batches)
			data, first := soundOf(t, out.bodies)
			if got := data[mpegts.StreamMPEG1Audio]; len(data) != 1 || !bytes.Equal(got, sent(tags)) {
				t.Errorf("%d bytes of sound of %d stream types, want the %d that were sent, as MPEG-1 audio", len(got), len(data), len(sent(tags)))
			}
			if first != media.SessionLead {
				t.Errorf("the sound begins at %d, want %d", first, media.SessionLead)
			}
			if out.state.Drops.Sum() > 0 || !slices.Contains(out.state.Codecs, "mp4a.40.34") || (len(out.state.Codecs) == 2) != tt.video {
				t.Errorf("dropped %v, codecs %v", out.state.Drops, out.state.Codecs)
			}
			if len(out.entries) != 3 {
				t.Errorf("segments of %v ms, want three", out.durations())
			}
			sum := Summarize(out.state.Encode())
			if sum.AudioCodec != "mp4a.40.34" || sum.SampleRate != 44100 || sum.Channels != 2 {
				t.Errorf("%s, %d Hz, %d channels", sum.AudioCodec, sum.SampleRate, sum.Channels)
			}
		})
	}
}

// Each form that MP3 comes in is the same to viewers.
func TestFormsOfMP3(t *testing.T) {
	s := synthetic.New(8)
	s.MP3 = 1
	want := cutAll(t, newCutter(t, settings), synthetic.Record(t, s).Batches)
	for name, head := range map[string][]byte{
		"MP3 of 8 kHz, by its header": {0xef},
		"enhanced RTMP":               {0x91, '.', 'm', 'p', '3'},
	} {
		tags := s.Tags()
		for i := range tags {
			if tags[i].Type == flv.TagAudio {
				tags[i].Data = append(slices.Clone(head), tags[i].Data[1:]...)
			}
		}
		log := new(synthetic.Log)
		log.Session(t, tags, framelog.Final)
		got := cutAll(t, newCutter(t, settings), log.Batches)
		if !slices.EqualFunc(got.bodies, want.bodies, bytes.Equal) {
			t.Errorf("%s: other segments", name)
		}
	}
}

// What is no frame is left out and counted; the frames beside it are not.
func TestDamagedMP3(t *testing.T) {
	s := synthetic.New(8)
	s.MP3 = 1
	tags, n := s.Tags(), 0
	var want []byte
	for i := range tags {
		if tags[i].Type != flv.TagAudio {
			continue
		}
		frame := tags[i].Data[1:]
		switch n++; n {
		case 10:
			tags[i].Data = tags[i].Data[:100] // cut
			continue
		case 20:
			tags[i].Data = append([]byte{0x2f, 'I', 'D', '3', 4}, frame...)
		case 30:
			tags[i].Data = append(slices.Clone(tags[i].Data), "TAG"...)
		case 40:
			tags[i].Data = []byte{0x2f, 0xff, 0xfb, 0x00, 0x64} // free format
			continue
		}
		want = append(want, frame...)
	}
	log := new(synthetic.Log)
	log.Session(t, tags, framelog.Final)
	out := cutAll(t, newCutter(t, settings), log.Batches)
	data, _ := soundOf(t, out.bodies)
	if got := data[mpegts.StreamMPEG1Audio]; !bytes.Equal(got, want) {
		t.Errorf("%d bytes of sound, want %d", len(got), len(want))
	}
	if out.state.Drops[media.DropDamaged] != 4 || out.state.Drops.Sum() != 4 {
		t.Errorf("dropped %v, want four that are damaged", out.state.Drops)
	}
}

// An encoder comes back with MP3 where it had AAC, and again with AAC: each
// session's segments announce what they hold, behind a discontinuity.
func TestSessionsOfMP3AndAAC(t *testing.T) {
	log := new(synthetic.Log)
	var show synthetic.Show
	for i, frames := range []int{0, 1, 0} {
		show = synthetic.New(6)
		show.MP3, show.Seed = frames, uint64(i)
		end := framelog.End
		if i == 2 {
			end = framelog.Final
		}
		log.Session(t, show.Tags(), end)
	}
	out := cutAll(t, newCutter(t, settings), log.Batches)
	if out.state.Drops.Sum() > 0 {
		t.Errorf("dropped %v", out.state.Drops)
	}
	for i, body := range out.bodies {
		want := mpegts.StreamAAC
		if i == 2 || i == 3 {
			want = mpegts.StreamMPEG1Audio
		}
		data, _ := soundOf(t, [][]byte{body})
		listed := false
		for e := range mpegts.Demux(body) {
			if e.Type == mpegts.EventPMT {
				listed = slices.ContainsFunc(e.PMT.Streams, func(s mpegts.ElementaryStream) bool { return s.Type == want })
			}
		}
		if len(data) != 1 || len(data[want]) == 0 || !listed {
			t.Errorf("segment %d holds sound of %d types, %d bytes of %#x; listed: %v", i, len(data), len(data[want]), want, listed)
		}
	}
	if want := []string{"avc1.4d401f", "mp4a.40.2", "mp4a.40.34"}; !slices.Equal(out.state.Codecs, want) {
		t.Errorf("codecs %v, want %v", out.state.Codecs, want)
	}
}

// A codec that changes in the midst of a session begins a segment: no segment
// holds two. What came of it in the batch of the change is left out.
func TestSoundBecomesMP3(t *testing.T) {
	first, second := synthetic.New(12), synthetic.New(12)
	second.MP3 = 1
	var tags []flv.Tag
	const changed = 5000 // a second behind a key frame
	for _, x := range first.Tags() {
		if x.Type != flv.TagAudio || x.Timestamp < changed {
			tags = append(tags, x)
		}
	}
	for _, x := range second.Tags() {
		if x.Type == flv.TagAudio && x.Timestamp >= changed {
			tags = append(tags, x)
		}
	}
	slices.SortStableFunc(tags, func(a, b flv.Tag) int { return int(a.Timestamp) - int(b.Timestamp) })
	want := sent(tags)
	log := new(synthetic.Log)
	log.Session(t, tags, framelog.Final)
	out := cutAll(t, newCutter(t, settings), log.Batches)
	for i, body := range out.bodies {
		if data, _ := soundOf(t, [][]byte{body}); len(data) != 1 {
			t.Errorf("segment %d holds sound of %d types, want one", i, len(data))
		}
	}
	lost := int(out.state.Drops[media.DropUnfit]) // of a batch of 250 ms
	if lost > 10 || out.state.Drops.Sum() != uint64(lost) {
		t.Errorf("dropped %v, want a few that are unfit", out.state.Drops)
	}
	data, _ := soundOf(t, out.bodies)
	if got := data[mpegts.StreamMPEG1Audio]; !bytes.Equal(got, want[417*lost:]) {
		t.Errorf("%d bytes of MP3, want %d and %d frames left out", len(got), len(want), lost)
	}
}

// Sound that pauses goes on in silence, of frames of its own form.
func TestMP3Pauses(t *testing.T) {
	s := synthetic.New(20)
	s.MP3, s.Mute = 1, synthetic.Span{From: 6, To: 14}
	out := cutAll(t, newCutter(t, settings), synthetic.Record(t, s).Batches)
	for i, body := range out.bodies {
		data, _ := soundOf(t, [][]byte{body})
		frames := 0
		for p := data[mpegts.StreamMPEG1Audio]; len(p) > 0; frames++ {
			h, err := mp3.ParseFrame(p)
			if err != nil {
				t.Fatalf("segment %d: %v", i, err)
			}
			p = p[h.Size:]
		}
		if frames < 140 || frames > 170 { // 153 in 4 s
			t.Errorf("segment %d has %d frames, want about 153", i, frames)
		}
	}
}

// Whoever goes on from a State makes the same segments.
func TestMP3GoesOnFromState(t *testing.T) {
	s := synthetic.New(16)
	s.MP3 = 2
	batches := synthetic.Record(t, s).Batches
	whole := cutAll(t, newCutter(t, settings), batches)
	c := newCutter(t, settings)
	var out output
	for _, b := range batches {
		for _, cut := range c.Push(b) {
			out.take(cut)
			state, err := ParseState(cut.State.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if c, err = Restore(state); err != nil {
				t.Fatal(err)
			}
			if cut.Segment == nil {
				continue
			}
			// Replayed from the State's position on.
			for _, again := range batches {
				if again.Seq <= b.Seq {
					out.take(c.Push(again)...)
				}
			}
		}
	}
	if !slices.EqualFunc(out.bodies, whole.bodies, bytes.Equal) {
		t.Errorf("segments of %v ms, want the same as %v", out.durations(), whole.durations())
	}
}
