package mpegts_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/media"
	"weir/media/aac"
	"weir/remux/mpegts"
)

// ticks is a time of the tests, in milliseconds, on the 90 kHz clock.
func ticks(ms int64) int64 { return offset + ms*90 }

func video(ms int64, key bool) media.Frame {
	data := inter(400)
	if key {
		data = idr(400)
	}
	return media.Frame{Kind: media.Video, Key: key, DTS: ticks(ms), PTS: ticks(ms), Data: avcc(data)}
}

// audioFrames returns AAC frames of 48 kHz from one time to another.
func audioFrames(from, to int64) (frames []media.Frame) {
	for n := int64(0); ; n++ {
		pts := ticks(from) + n*1920 // 1024 samples
		if pts >= ticks(to) {
			return frames
		}
		frames = append(frames, media.Frame{Kind: media.Audio, DTS: pts, PTS: pts, Data: bytes.Repeat([]byte{7}, 300)})
	}
}

// pcrs returns the PCRs in ts on the 90 kHz clock, and how many packets
// carry nothing else.
func pcrs(ts []byte) (at []int64, alone int) {
	for ; len(ts) > 0; ts = ts[188:] {
		p, err := mpegts.ParsePacket(ts[:188])
		if err == nil && p.HasPCR {
			at = append(at, p.PCR/300)
			if !p.HasPayload {
				alone++
			}
		}
	}
	return at, alone
}

// The PCR comes every 100 ms whatever the media does; take checks that, these
// say by which packets.
func TestPCR(t *testing.T) {
	cfg := config(t)
	videoOnly, audioOnly := cfg, cfg
	videoOnly.AAC, audioOnly.Video = nil, nil
	slow, err := aac.ParseConfig([]byte{0x15, 0x90}) // 8 kHz: a frame lasts 128 ms
	if err != nil {
		t.Fatal(err)
	}
	var slowFrames []media.Frame
	for i := range int64(10) {
		pts := offset + i*11520
		slowFrames = append(slowFrames, media.Frame{Kind: media.Audio, DTS: pts, PTS: pts, Data: []byte{1, 2, 3}})
	}
	thirty := []media.Frame{video(0, true)}
	for i := int64(1); i < 30; i++ {
		thirty = append(thirty, video(i*1000/30, false))
	}
	for _, c := range []struct {
		name   string
		cfg    mpegts.Config
		frames []media.Frame
		alone  int // packets with nothing but a PCR
		jumps  int
	}{
		{"30 fps: each picture has one", videoOnly, thirty, 0, 0},
		{"one picture a second", videoOnly, []media.Frame{video(0, true), video(1000, false), video(2000, false)}, 18, 0},
		{"one picture a second, audio between", cfg, append(append([]media.Frame{video(0, true)}, audioFrames(0, 1000)...), video(1000, false)), 9, 0},
		{"pictures stop, audio goes on", cfg, append([]media.Frame{video(0, true)}, audioFrames(0, 3000)...), 26, 0},
		{"audio alone: each PES packet has one", audioOnly, audioFrames(0, 1000), 0, 0},
		{"audio alone, of long frames", mpegts.Config{AAC: &slow}, slowFrames, 9, 0},
		{"audio alone, with a hole", audioOnly, append(audioFrames(0, 200), audioFrames(1000, 1200)...), 8, 0},
		{"a hole of 10 s is part of the timeline", videoOnly, []media.Frame{video(0, true), video(10_000, false)}, 99, 0},
		{"a longer one is a new time base", videoOnly, []media.Frame{video(0, true), video(10_001, false)}, 0, 1},
		{"as is a long step back", videoOnly, []media.Frame{video(20_000, true), video(0, false)}, 0, 1},
		{"and the audio's jump, where pictures have stopped", cfg, append([]media.Frame{video(0, true)}, audioFrames(20_000, 20_200)...), 2, 1},
		{"audio first: it brings the first PCR", cfg, append(audioFrames(0, 20), video(0, true)), 3, 0},
		{"audio interleaved 300 ms early drives nothing", cfg, append(append([]media.Frame{video(0, true)}, audioFrames(0, 300)...), video(33, false), video(66, false)), 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := mux(t, newMuxer(t, c.cfg, mpegts.Continuity{}), c.frames)
			pcrPID := uint16(videoPID)
			if c.cfg.Video == nil {
				pcrPID = audioPID
			}
			units, jumps := take(t, ts, pcrPID)
			sameFrames(t, c.cfg, c.frames, units, expect(t, c.cfg))
			if _, alone := pcrs(ts); alone != c.alone || jumps != c.jumps {
				t.Errorf("%d packets with a PCR alone and %d discontinuities, want %d and %d", alone, jumps, c.alone, c.jumps)
			}
		})
	}
}

// The PCR is Lead before the DTS it comes with: the decoder has that long.
func TestPCRLead(t *testing.T) {
	cfg := config(t)
	at, _ := pcrs(mux(t, newMuxer(t, cfg, mpegts.Continuity{}), []media.Frame{video(0, true)}))
	if len(at) != 1 || at[0] != offset-mpegts.Lead {
		t.Errorf("PCRs %v, want %d", at, offset-mpegts.Lead)
	}
}

// The 100 ms hold over a segment's end too, and a gap there is filled.
func TestPCRAcrossSegments(t *testing.T) {
	cfg := config(t)
	cfg.AAC = nil
	m := newMuxer(t, cfg, mpegts.Continuity{})
	first := mux(t, m, []media.Frame{video(0, true), video(500, false)})
	second := mux(t, m, []media.Frame{video(1000, true), video(1500, false)})
	if _, jumps := take(t, append(bytes.Clone(first), second...), videoPID); jumps != 0 {
		t.Errorf("%d discontinuities", jumps)
	}
	if _, alone := pcrs(second); alone != 8 {
		t.Errorf("%d PCR packets in the second segment, want 4 before each picture", alone)
	}
}

// Times wrap at 2^33 (2.4.3.7) and nothing else changes: 26.5 hours on, the
// same frames are the same bytes but for the clock.
func TestWrap(t *testing.T) {
	cfg := config(t)
	var frames []media.Frame
	start := int64(mpegts.ClockMask+1) - media.Clock
	for i := range int64(60) {
		v := video(0, i%30 == 0)
		v.DTS = start + i*3000
		v.PTS = v.DTS + 6000
		frames = append(frames, v)
		a := media.Frame{Kind: media.Audio, DTS: start + i*1920, PTS: start + i*1920, Data: []byte{1, 2, 3}}
		frames = append(frames, a)
	}
	ts := mux(t, newMuxer(t, cfg, mpegts.Continuity{PCR: start - mpegts.Lead - 3000}), frames)
	units, jumps := take(t, ts, videoPID)
	if jumps != 0 {
		t.Errorf("%d discontinuities: a wrap is none", jumps)
	}
	sameFrames(t, cfg, frames, units, expect(t, cfg))
	at, _ := pcrs(ts)
	if at[0] < at[len(at)-1] {
		t.Errorf("PCRs from %d to %d: this test is to go over the wrap", at[0], at[len(at)-1])
	}
}

// How audio is packed: TS overhead against interleaving. The first PES packet
// of a segment has one frame (TestFfmpegPlacesAudioOfAPlaylist).
func TestAudioPacking(t *testing.T) {
	cfg := config(t)
	regular := []media.Frame{video(0, true)}
	for i, a := range audioFrames(0, 1000) {
		regular = append(regular, a)
		if i%2 == 1 {
			regular = append(regular, video(int64(i/2+1)*42, false))
		}
	}
	late := []media.Frame{}
	for _, f := range regular { // all audio 200 ms behind the pictures it comes with
		if f.Kind == media.Audio {
			f.DTS, f.PTS = f.DTS-200*90, f.PTS-200*90
		}
		late = append(late, f)
	}
	jitter := audioFrames(0, 1000)
	for i := range jitter { // stamps in whole milliseconds, as RTMP has them
		jitter[i].PTS -= jitter[i].PTS % 90
		jitter[i].DTS = jitter[i].PTS
	}
	still := audioFrames(0, 200)
	for i := range still {
		still[i].DTS, still[i].PTS = offset, offset
	}
	for _, c := range []struct {
		name   string
		frames []media.Frame
		most   int // frames in a PES packet
		count  int // PES packets
	}{
		{"4 frames of 48 kHz fit into 100 ms", audioFrames(0, 1000), 4, 13},
		{"with pictures between", regular, 4, 13},
		{"with pictures between, and late", late, 4, 13},
		{"rounded to milliseconds", jitter, 4, 13},
		{"a stamp of its own ends the packet before", append(audioFrames(0, 60), audioFrames(62, 100)...), 2, 3},
		{"stamps that do not move cannot be told by a count", still, 1, len(still)},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := mux(t, newMuxer(t, cfg, mpegts.Continuity{}), c.frames)
			count, most := 0, 0
			for e := range mpegts.Demux(ts) {
				if e.Type == mpegts.EventPES && e.PID == audioPID {
					count++
					most = max(most, len(split(t, &e.PES)))
				}
			}
			if count != c.count || most != c.most {
				t.Errorf("%d PES packets of up to %d frames, want %d of %d", count, most, c.count, c.most)
			}
			units, _ := take(t, ts, videoPID)
			sameFrames(t, cfg, c.frames, units, expect(t, cfg))
		})
	}
}

// PES_packet_length counts to 65535: nine of the shortest frames, 96 kHz, are
// less than 100 ms, but may be more than that.
func TestAudioPESLength(t *testing.T) {
	a, err := aac.ParseConfig([]byte{0x10, 0x10})
	if err != nil {
		t.Fatal(err)
	}
	cfg := mpegts.Config{AAC: &a}
	for size, want := range map[int][]int{100: {1, 9, 9, 1}, 8184: {1, 7, 7, 5}} {
		var frames []media.Frame
		for i := range int64(20) {
			frames = append(frames, media.Frame{Kind: media.Audio, DTS: offset + i*960, PTS: offset + i*960, Data: bytes.Repeat([]byte{1}, size)})
		}
		ts := mux(t, newMuxer(t, cfg, mpegts.Continuity{}), frames)
		var got []int
		for e := range mpegts.Demux(ts) {
			if e.Type == mpegts.EventPES {
				got = append(got, len(split(t, &e.PES)))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("frames of %d bytes: %d in the PES packets, want %d", size, got, want)
		}
		units, _ := take(t, ts, audioPID)
		sameFrames(t, cfg, frames, units, expect(t, cfg))
	}
}

// Audio waits for more audio, but no picture overtakes it by more than its
// span: also where audio ends.
func TestAudioDoesNotWaitForLong(t *testing.T) {
	cfg := config(t)
	m := newMuxer(t, cfg, mpegts.Continuity{})
	frames := []media.Frame{video(0, true), audioFrames(0, 20)[0], video(33, false), video(66, false), video(99, false), video(100, false)}
	var ts []byte
	for i := range frames {
		var err error
		if ts, err = m.AppendFrame(ts, &frames[i]); err != nil {
			t.Fatal(err)
		}
		written := pid(ts[max(0, len(ts)-5*188):]) == audioPID || bytes.Contains(ts, []byte{0, 0, 1, 0xc0})
		if want := i == len(frames)-1; written != want {
			t.Errorf("after frame %d: audio written is %v", i, written)
		}
	}
	if rest := m.Flush(nil); len(rest) != 0 {
		t.Errorf("Flush had %d bytes left", len(rest))
	}
}

// For any frames, in any interleaving that a timeline may give: no fault, every
// frame once, and a cut anywhere gives a segment that another worker redoes.
func TestAnyStream(t *testing.T) {
	cfg := config(t)
	rapid.Check(t, func(t *rapid.T) {
		var frames []media.Frame
		vdts, apts := int64(offset), int64(offset)+rapid.Int64Range(-45000, 45000).Draw(t, "skew")
		for range rapid.IntRange(1, 40).Draw(t, "frames") {
			size := rapid.IntRange(1, 2000).Draw(t, "size")
			if rapid.Bool().Draw(t, "video") {
				vdts += rapid.Int64Range(1, 40_000).Draw(t, "step")
				f := media.Frame{Kind: media.Video, Key: rapid.Bool().Draw(t, "key"), DTS: vdts, PTS: vdts + rapid.Int64Range(0, 9000).Draw(t, "cts"), Data: avcc(inter(size), inter(size%7+1))}
				frames = append(frames, f)
				continue
			}
			apts += 1920 + rapid.SampledFrom([]int64{0, 0, 0, -45, 60, 9000}).Draw(t, "drift")
			frames = append(frames, media.Frame{Kind: media.Audio, DTS: apts, PTS: apts, Data: bytes.Repeat([]byte{3}, size)})
		}
		cut := rapid.IntRange(0, len(frames)).Draw(t, "cut")
		first := newMuxer(t, cfg, mpegts.Continuity{})
		ts := mux(t, first, frames[:cut])
		ts = append(ts, mux(t, newMuxer(t, cfg, first.Continuity()), frames[cut:])...)
		units, jumps := take(t, ts, videoPID)
		if jumps > 0 {
			t.Fatalf("%d discontinuities", jumps)
		}
		sameFrames(t, cfg, frames, units, expect(t, cfg))
	})
}
