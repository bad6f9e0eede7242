package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/media/framelog"
	"weir/remux/flv"
)

// The tags of the tables, as short as what the batcher looks at.
func meta(ts uint32) flv.Tag {
	return flv.Tag{Type: flv.TagScript, Timestamp: ts, Data: []byte("\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09")}
}
func avcConfig(ts uint32, body ...byte) flv.Tag {
	return flv.Tag{Type: flv.TagVideo, Timestamp: ts, Data: append([]byte{0x17, 0, 0, 0, 0}, body...)}
}
func aacHeader(ts uint32, body ...byte) flv.Tag {
	return flv.Tag{Type: flv.TagAudio, Timestamp: ts, Data: append([]byte{0xaf, 0}, body...)}
}
func key(ts uint32) flv.Tag   { return video(ts, 0x17, 1, 0, 0, 0, 0xaa) }
func inter(ts uint32) flv.Tag { return video(ts, 0x27, 1, 0, 0, 0, 0xbb) }
func sound(ts uint32) flv.Tag { return audio(ts, 0xaf, 1, 0xcc) }
func video(ts uint32, body ...byte) flv.Tag {
	return flv.Tag{Type: flv.TagVideo, Timestamp: ts, Data: body}
}
func audio(ts uint32, body ...byte) flv.Tag {
	return flv.Tag{Type: flv.TagAudio, Timestamp: ts, Data: body}
}

// describe writes a batch as its flags, its prelude in brackets, and its tags
// as a letter and a timestamp: M metadata, V and A sequence headers, K and P
// pictures, a audio, x anything else.
func describe(t testing.TB, b *framelog.Batch) string {
	t.Helper()
	letters := map[tagKind]string{soundTag: "a", picture: "P", keyPicture: "K", keyLead: "L", otherTag: "x"}
	out := []string{b.Flags.String()}
	for p := b.Tags; len(p) > 0; {
		at := len(b.Tags) - len(p)
		if b.Prelude > 0 && at == 0 {
			out = append(out, "[")
		}
		if b.Prelude > 0 && at == b.Prelude {
			out = append(out, "]")
		}
		tag, n, err := flv.NextTag(p)
		if err != nil {
			t.Fatalf("a batch is a run of whole tags: %v", err)
		}
		kind, id := classify(tag, 4)
		letter := letters[kind]
		if kind == headerTag {
			letter = map[flv.TagType]string{flv.TagScript: "M", flv.TagVideo: "V", flv.TagAudio: "A"}[id.tag]
		}
		out = append(out, fmt.Sprintf("%s%d", letter, tag.Timestamp))
		p = p[n:]
	}
	return strings.Join(out, " ")
}

var epoch = time.Date(2026, 11, 21, 1, 45, 0, 0, time.UTC)

// step is a tag that arrives ms after the epoch. After it everything that is
// ready is taken, unless slow.
type step struct {
	ms   int
	tag  flv.Tag
	slow bool
}

// live lets tags arrive at their own timestamps.
func live(tags ...flv.Tag) (steps []step) {
	for _, t := range tags {
		steps = append(steps, step{ms: int(t.Timestamp), tag: t})
	}
	return steps
}

// atOnce lets tags arrive in one moment while nobody takes a batch.
func atOnce(tags ...flv.Tag) (steps []step) {
	for _, t := range tags {
		steps = append(steps, step{tag: t, slow: true})
	}
	return steps
}

// sounds returns audio every step ms in [from, to).
func sounds(from, to, step uint32) (tags []flv.Tag) {
	for ts := from; ts < to; ts += step {
		tags = append(tags, sound(ts))
	}
	return tags
}

func TestBatcher(t *testing.T) {
	join := func(runs ...[]flv.Tag) (all []flv.Tag) {
		for _, r := range runs {
			all = append(all, r...)
		}
		return all
	}
	tests := []struct {
		name, why string
		steps     []step
		want      []string
	}{
		{
			name:  "headers then key frame",
			why:   "the first key frame joins the first batch, which holds no media before it",
			steps: atOnce(meta(0), avcConfig(0), aacHeader(0), key(0), sound(0), inter(40)),
			want:  []string{"bk M0 V0 A0 K0 a0 P40"},
		}, {
			name:  "audio before the first key frame",
			why:   "it belongs to the first batch, and every key frame is the first media of its batch",
			steps: atOnce(avcConfig(0), aacHeader(0), sound(0), sound(21), key(40), sound(43)),
			want:  []string{"bk V0 A0 a0 a21", "k [ V40 A40 ] K40 a43"},
		}, {
			name:  "key frames",
			why:   "each opens a key batch with the headers in force at its own time",
			steps: atOnce(meta(0), avcConfig(0), aacHeader(0), key(0), inter(40), key(80), sound(81), key(120)),
			want:  []string{"bk M0 V0 A0 K0 P40", "k [ M80 V80 A80 ] K80 a81", "k [ M120 V120 A120 ] K120"},
		}, {
			name:  "interval",
			why:   "a batch goes when its first tag is 250 ms old, and not before",
			steps: live(avcConfig(0), key(0), inter(240), inter(250), inter(300), inter(499), inter(550)),
			want:  []string{"bk V0 K0 P240 P250", "- P300 P499 P550"},
		}, {
			name:  "no key frame for a second",
			why:   "the first batch goes without one after 1 s of media",
			steps: live(avcConfig(0), aacHeader(0), inter(0), sound(10), inter(500), sound(600), inter(1000), inter(1010), key(1020)),
			want:  []string{"bk V0 A0 P0 a10 P500 a600", "- P1000 P1010", "k [ V1020 A1020 ] K1020"},
		}, {
			name:  "faster than real time",
			why:   "media time is what the first batch waits for, when that is faster than arrival",
			steps: []step{{0, inter(5000), false}, {1, inter(5999), false}, {2, inter(6000), false}, {3, inter(6040), false}},
			want:  []string{"bk P5000 P5999", "- P6000 P6040"},
		}, {
			name:  "audio only",
			why:   "a key batch for each second of audio timestamps, on a grid that does not drift",
			steps: atOnce(join([]flv.Tag{aacHeader(70)}, sounds(70, 3300, 300))...),
			want: []string{"bk A70 a70 a370 a670 a970", "k [ A1270 ] a1270 a1570 a1870",
				"k [ A2170 ] a2170 a2470 a2770", "k [ A3070 ] a3070"},
		}, {
			name:  "audio only, then video",
			why:   "the first picture ends audio's key batches; video's own header and key frame go on",
			steps: atOnce(join([]flv.Tag{aacHeader(0)}, sounds(0, 1200, 400), []flv.Tag{avcConfig(1200), sound(1250), key(1300), sound(2100), sound(3100)})...),
			want:  []string{"bk A0 a0 a400 a800 V1200", "k [ A1250 V1250 ] a1250", "k [ A1300 V1300 ] K1300 a2100", "- a3100"},
		}, {
			name:  "video that stops",
			why:   "after ten seconds of audio without a picture, readers could join nowhere: audio opens key batches again",
			steps: atOnce(join([]flv.Tag{avcConfig(0), aacHeader(0), key(0)}, sounds(0, 12000, 2000), []flv.Tag{key(12000)})...),
			want:  []string{"bk V0 A0 K0 a0", "- a2000", "- a4000", "- a6000", "- a8000", "k [ V10000 A10000 ] a10000", "k [ V12000 A12000 ] K12000"},
		}, {
			name: "tracks on different bases",
			why:  "audio far ahead of video's clock is not a video that stopped",
			steps: atOnce(avcConfig(0), key(0), sound(900000), inter(40), sound(901500), inter(80), sound(903000),
				inter(120), sound(911000), inter(160), sound(920000)),
			want: []string{"bk V0 K0 a900000 P40", "- a901500 P80", "- a903000 P120", "- a911000 P160", "- a920000"},
		}, {
			name: "a GOP sent faster than it plays",
			why:  "a batch lies within one segment, and no batch of many seconds could: a second of either track ends it",
			steps: atOnce(avcConfig(0), key(0), inter(500), inter(999), inter(1000), sound(1000), inter(1990), sound(2000),
				inter(2500)),
			want: []string{"bk V0 K0 P500 P999", "- P1000 a1000 P1990", "- a2000 P2500"},
		}, {
			name:  "audio clock steps back",
			why:   "one new grid, not a key batch for every frame until the old time is reached",
			steps: atOnce(sound(60000), sound(60500), sound(100), sound(600), sound(1100), sound(1600)),
			want:  []string{"bk a60000 a60500", "k a100 a600", "k a1100 a1600"},
		}, {
			name:  "audio jitter at a boundary",
			why:   "a timestamp 1 ms back over the boundary opens no second key batch",
			steps: atOnce(sound(0), sound(1000), sound(999), sound(1001)),
			want:  []string{"bk a0", "k a1000 a999 a1001"},
		}, {
			name:  "32-bit wrap",
			why:   "timestamps wrap at 2^32 ms; audio's grid runs on across it",
			steps: atOnce(sound(0xfffffc18), sound(0xfffffe00), sound(0), sound(500), sound(1000)),
			want:  []string{"bk a4294966296 a4294966784", "k a0 a500", "k a1000"},
		}, {
			name:  "header changes in mid-stream",
			why:   "the change is passed on where it stood, and the next key batch repeats the new one only",
			steps: atOnce(avcConfig(0, 1), key(0), avcConfig(40, 2), key(40), key(80)),
			want:  []string{"bk V0 K0 V40", "k [ V40 ] K40", "k [ V80 ] K80"},
		}, {
			name:  "end of sequence",
			why:   "it is flagged as a key frame and is none [FLV E.4.3.1, AVCPacketType 2]",
			steps: atOnce(avcConfig(0), key(0), video(0, 0x17, 2, 0, 0, 0)),
			want:  []string{"bk V0 K0 x0"},
		}, {
			name:  "enhanced video",
			why:   "hvc1 sequence start, coded frames, frames without composition time, sequence end",
			steps: atOnce(video(0, []byte("\x90hvc1x")...), video(0, []byte("\x91hvc1\x00\x00\x00x")...), video(40, []byte("\xa3hvc1x")...), video(80, []byte("\x93hvc1x")...), video(0, []byte("\x92hvc1")...)),
			want:  []string{"bk V0 K0 P40", "k [ V80 ] K80 x0"},
		}, {
			name:  "other than media",
			why:   "empty bodies and unknown script data pass through and open nothing",
			steps: atOnce(video(0), audio(0), flv.Tag{Type: flv.TagScript, Data: []byte("\x02\x00\x06onText")}, key(0), video(5)),
			want:  []string{"bk x0 x0 x0 K0 x5"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBatcher(BatcherConfig{})
			var got []string
			take := func(now time.Time) {
				for batch := b.Take(now); batch != nil; batch = b.Take(now) {
					got = append(got, describe(t, batch))
					b.Recycle(batch)
				}
			}
			var now time.Time
			for _, s := range tt.steps {
				now = epoch.Add(time.Duration(s.ms) * time.Millisecond)
				if err := b.Add(now, s.tag); err != nil {
					t.Fatal(err)
				}
				if !s.slow {
					take(now)
				}
			}
			b.Flush()
			take(now)
			if g, w := strings.Join(got, "\n"), strings.Join(tt.want, "\n"); g != w {
				t.Errorf("%s\ngot:\n%s\nwant:\n%s", tt.why, g, w)
			}
		})
	}
}

func TestBatcherDue(t *testing.T) {
	b := NewBatcher(BatcherConfig{})
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	want := func(why string, ms int) {
		t.Helper()
		switch due := b.Due(); {
		case ms < 0 && !due.IsZero():
			t.Errorf("%s: due %v, want none", why, due.Sub(epoch))
		case ms >= 0 && !due.Equal(at(ms)):
			t.Errorf("%s: due %v, want %v ms", why, due.Sub(epoch), ms)
		}
		if ms >= 0 && (b.Ready(at(ms-1)) || !b.Ready(at(ms))) {
			t.Errorf("%s: ready must mean due", why)
		}
	}
	add := func(ms int, tag flv.Tag) {
		t.Helper()
		if err := b.Add(at(ms), tag); err != nil {
			t.Fatal(err)
		}
	}
	want("nothing came", -1)
	add(0, meta(0))
	add(0, avcConfig(0))
	want("headers alone wait for media, however long", -1)
	add(5000, sound(0))
	want("the first batch waits a second for a key frame from its first media on", 6000)
	add(5100, inter(0))
	want("which a picture that is none does not change", 6000)
	if b.Take(at(5999)) != nil {
		t.Error("nothing is due yet")
	}
	batch := b.Take(at(6000))
	if !batch.Flags.Has(framelog.Begin|framelog.Key) || !batch.Wall.Equal(at(0)) {
		t.Errorf("flags %v wall %v: the first batch begins the session, at the arrival of its first tag", batch.Flags, batch.Wall)
	}
	want("nothing is open", -1)
	add(6100, sound(1))
	want("later batches wait for the interval", 6350)
	add(6200, key(100))
	if !b.Ready(at(6200)) {
		t.Error("a key frame completes the batch before it")
	}
}

func TestBatcherSize(t *testing.T) {
	b := NewBatcher(BatcherConfig{Size: 1000, MaxTag: 4000})
	body := func(n int) []byte { return append([]byte{0x27, 1}, make([]byte, n-2)...) }
	for _, n := range []int{300, 300, 300, 300, 3000, 300, 4000} {
		if err := b.Add(epoch, video(0, body(n)...)); err != nil {
			t.Fatal(err)
		}
	}
	b.Flush()
	var got []int
	for batch := b.Take(epoch); batch != nil; batch = b.Take(epoch) {
		got = append(got, len(batch.Tags))
	}
	want := []int{3 * 315, 315, 3015, 315, 4015}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("batches of %v bytes, want %v: none over the limit but single tags", got, want)
	}
	if err := b.Add(epoch, video(0, body(4001)...)); !errors.Is(err, ErrTagSize) {
		t.Errorf("a tag over the limit: %v, want ErrTagSize", err)
	}
	if b.Queued() != 0 {
		t.Errorf("%d bytes queued: a refused tag leaves nothing behind", b.Queued())
	}
}

func TestBatcherPreludeIsBounded(t *testing.T) {
	t.Run("metadata", func(t *testing.T) {
		b := NewBatcher(BatcherConfig{})
		big := meta(0)
		big.Data = append(big.Data, make([]byte, maxMetadata)...)
		for _, tag := range []flv.Tag{meta(0), big, key(0), key(40)} {
			if err := b.Add(epoch, tag); err != nil {
				t.Fatal(err)
			}
		}
		b.Flush()
		b.Take(epoch)
		if got := describe(t, b.Take(epoch)); got != "k K40" {
			t.Errorf("%s: metadata too large to repeat replaces the old and is not repeated", got)
		}
	})
	t.Run("sequence header", func(t *testing.T) {
		b := NewBatcher(BatcherConfig{})
		for _, tag := range []flv.Tag{avcConfig(0), avcConfig(0, make([]byte, maxConfig)...), key(0), key(40)} {
			if err := b.Add(epoch, tag); err != nil {
				t.Fatal(err)
			}
		}
		b.Flush()
		b.Take(epoch)
		if got := describe(t, b.Take(epoch)); got != "k K40" {
			t.Errorf("%s: a header that no reader can use replaces the old and is not repeated", got)
		}
	})
	t.Run("all together", func(t *testing.T) {
		b := NewBatcher(BatcherConfig{})
		var err error
		n := 0
		for ; n < maxHeaders && err == nil; n++ { // multitrack, track n
			err = b.Add(epoch, video(0, append([]byte{0x96, 0x00, 'h', 'v', 'c', '1', byte(n)}, make([]byte, 4000)...)...))
		}
		if !errors.Is(err, ErrPrelude) || n*4000 < maxPrelude {
			t.Errorf("header %d: %v; want ErrPrelude at %d bytes", n, err, maxPrelude)
		}
	})
	t.Run("tracks", func(t *testing.T) {
		b := NewBatcher(BatcherConfig{})
		var err error
		n := 0
		for ; n < 256 && err == nil; n++ {
			// Multitrack, one track, SequenceStart, hvc1, track n.
			err = b.Add(epoch, video(0, 0x96, 0x00, 'h', 'v', 'c', '1', byte(n)))
		}
		if !errors.Is(err, ErrPrelude) || n != maxHeaders+1 {
			t.Errorf("track %d: %v; want ErrPrelude at track %d", n, err, maxHeaders+1)
		}
	})
}

// checkBatches holds what is true of any batches made of the tags.
func checkBatches(t interface{ Fatalf(string, ...any) }, cfg BatcherConfig, tags []flv.Tag, batches []*framelog.Batch) {
	cfg = cfg.withDefaults()
	var all, rest []byte
	for _, tag := range tags {
		all = flv.AppendTag(all, tag)
	}
	inForce, spent := map[headerID][]byte{}, 0
	for i, b := range batches {
		wantBegin := i == 0
		if b.Flags.Has(framelog.Begin) != wantBegin || wantBegin && !b.Flags.Has(framelog.Key) {
			t.Fatalf("batch %d has flags %v: the first batch and no other begins the session, and it is a key batch", i, b.Flags)
		}
		if b.Prelude > 0 && !b.Flags.Has(framelog.Key) || b.Flags&^(framelog.Begin|framelog.Key) != 0 {
			t.Fatalf("batch %d has flags %v and a prelude of %d", i, b.Flags, b.Prelude)
		}
		rest = append(rest, b.Tags[b.Prelude:]...)
		checkBatch(t, cfg, b, inForce, spent)
		spent += b.Prelude + batchCost
	}
	if !bytes.Equal(all, rest) {
		t.Fatalf("the batches without their preludes are %d bytes, and not the %d bytes of tags that came, in order", len(rest), len(all))
	}
}

// checkBatch checks one batch and keeps account of the headers in force. spent
// is what the batches before it have cost beside their tags.
func checkBatch(t interface{ Fatalf(string, ...any) }, cfg BatcherConfig, b *framelog.Batch, inForce map[headerID][]byte, spent int) {
	media, count, repeated := 0, 0, map[headerID][]byte{}
	for p := b.Tags; len(p) > 0; {
		at := len(b.Tags) - len(p)
		tag, n, err := flv.NextTag(p)
		if err != nil {
			t.Fatalf("a batch is a run of whole tags: %v", err)
		}
		p = p[n:]
		kind, id := classify(tag, 4)
		if at < b.Prelude {
			if kind != headerTag {
				t.Fatalf("the prelude holds a tag that is no header")
			}
			repeated[id] = tag.Data
			continue
		}
		if at == b.Prelude && b.Flags.Has(framelog.Key) && !b.Flags.Has(framelog.Begin) {
			checkPrelude(t, repeated, inForce)
			if kind != keyPicture && kind != soundTag {
				t.Fatalf("a key batch begins with tag kind %d", kind)
			}
		}
		count++
		switch kind {
		case headerTag:
			if tooLarge(id, tag.Data) {
				delete(inForce, id)
			} else {
				inForce[id] = tag.Data
			}
		case keyPicture:
			if (media > 0 || !b.Flags.Has(framelog.Key)) && spent+prelude(inForce)+batchCost <= maxCredit {
				t.Fatalf("a key frame is not the first media of a key batch")
			}
			media++
		case picture, soundTag:
			media++
		}
	}
	if count == 0 || count > 1 && !b.Flags.Has(framelog.Key) && len(b.Tags) > cfg.Size {
		t.Fatalf("a batch of %d tags and %d bytes", count, len(b.Tags))
	}
}

// prelude is what the headers in force take.
func prelude(inForce map[headerID][]byte) (n int) {
	for _, body := range inForce {
		n += flv.TagOverhead + len(body)
	}
	return n
}

func checkPrelude(t interface{ Fatalf(string, ...any) }, repeated, inForce map[headerID][]byte) {
	if len(repeated) != len(inForce) {
		t.Fatalf("the prelude repeats %d headers of %d in force", len(repeated), len(inForce))
	}
	for id, body := range inForce {
		if !bytes.Equal(repeated[id], body) {
			t.Fatalf("the prelude repeats a header %+v that is not in force", id)
		}
	}
}

// TestBatcherAmplifiesLittle sends what makes the most of the least: key frames
// of six bytes under large headers, timestamps that jump, headers that change.
func TestBatcherAmplifiesLittle(t *testing.T) {
	large := func(n int) flv.Tag { // one of sixteen tracks
		return video(0, append([]byte{0x96, 0x00, 'h', 'v', 'c', '1', byte(n)}, make([]byte, 4000)...)...)
	}
	var headers []flv.Tag
	for n := range 16 {
		headers = append(headers, large(n))
	}
	for name, next := range map[string]func(i uint32) flv.Tag{
		"key frames":        func(i uint32) flv.Tag { return key(i) },
		"jumps":             func(i uint32) flv.Tag { return inter(i * 5000) },
		"audio that jumps":  func(i uint32) flv.Tag { return sound(i * 5000) },
		"headers and keys":  func(i uint32) flv.Tag { return []flv.Tag{avcConfig(i, byte(i)), key(i)}[i%2] },
		"jumping back":      func(i uint32) flv.Tag { return sound(-i * 5000) },
		"keys of two bytes": func(i uint32) flv.Tag { return video(i, 0x17, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBatcher(BatcherConfig{})
			came, tags, stored, batches := 0, 0, 0, 0
			add := func(tag flv.Tag) {
				if err := b.Add(epoch, tag); err != nil {
					t.Fatal(err)
				}
				came += len(tag.Data)
				tags += flv.TagOverhead + len(tag.Data)
				for batch := b.Take(epoch); batch != nil; batch = b.Take(epoch) {
					stored += len(batch.Tags) + batchCost
					batches++
					b.Recycle(batch)
				}
			}
			for _, h := range headers {
				add(h)
			}
			for i := range uint32(200_000) {
				add(next(i))
			}
			b.Flush()
			for batch := b.Take(epoch); batch != nil; batch = b.Take(epoch) {
				stored += len(batch.Tags) + batchCost
				batches++
			}
			// A batch that is full is paid for by its tags.
			full := batchCost * (tags/batchSize + 1)
			t.Logf("%d bytes in %d batches stored for %d", stored, batches, came)
			if most := tags + came + maxCredit + full; stored > most {
				t.Errorf("%d bytes and %d batches stored for %d bytes of bodies, %d as tags; want at most %d", stored, batches, came, tags, most)
			}
		})
	}
}

// TestBatcherAllIntra is an encoder whose every picture is a key frame, at a
// rate where that is to be expected: each opens a batch.
func TestBatcherAllIntra(t *testing.T) {
	b := NewBatcher(BatcherConfig{})
	for _, tag := range []flv.Tag{meta(0), avcConfig(0, make([]byte, 1000)...)} {
		if err := b.Add(epoch, tag); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint32(5000) { // 25 pictures of 1500 bytes a second: 300 kbit/s
		tag := video(40*i, append([]byte{0x17, 1, 0, 0, 0}, make([]byte, 1500)...)...)
		if err := b.Add(epoch.Add(time.Duration(40*i)*time.Millisecond), tag); err != nil {
			t.Fatal(err)
		}
	}
	b.Flush()
	keys := 0
	for batch := b.Take(epoch); batch != nil; batch = b.Take(epoch) {
		if batch.Flags.Has(framelog.Key) {
			keys++
		}
	}
	if keys != 5000 {
		t.Errorf("%d key batches, want one a picture", keys)
	}
}

// tagBodies are the fronts of bodies that the batcher tells apart.
var tagBodies = []flv.Tag{
	key(0), inter(0), sound(0), meta(0), avcConfig(0), aacHeader(0), key(0), inter(0), sound(0), sound(0),
	video(0, []byte("\x90hvc1x")...), video(0, []byte("\x93hvc1x")...), video(0, []byte("\xa1hvc1\x00\x00\x00")...),
	video(0, []byte("\x94hvc1colorInfo")...), video(0, 0x96, 0x00, 'h', 'v', 'c', '1', 1), video(0, 0x96, 0x01, 'h', 'v', 'c', '1', 1),
	audio(0, []byte("\x90OpusOpusHead")...), audio(0, []byte("\x91Opusx")...), audio(0, []byte("\x94Opus\x01\x02")...),
	audio(0, 0x95, 0x00, 'm', 'p', '4', 'a', 1), audio(0), video(0), video(0, 0x17, 2, 0, 0, 0), audio(0, 0x2f, 1, 2),
}

// play adds tags and takes batches as ops say, four bytes each: which tag,
// how much is appended to its body, how its time moves, and what the taker does.
func play(t interface{ Fatalf(string, ...any) }, cfg BatcherConfig, ops []byte) {
	b := NewBatcher(cfg)
	var tags []flv.Tag
	var batches, taken []*framelog.Batch
	now, ts := epoch, uint32(0xfffff000)
	take := func() bool {
		batch := b.Take(now)
		if batch == nil {
			return false
		}
		c := *batch
		c.Tags = bytes.Clone(batch.Tags)
		batches, taken = append(batches, &c), append(taken, batch)
		return true
	}
	recycle := func() {
		for _, batch := range taken {
			b.Recycle(batch)
		}
		taken = taken[:0]
	}
	for ; len(ops) >= 4; ops = ops[4:] {
		tag := tagBodies[int(ops[0])%len(tagBodies)]
		tag.Data = append(bytes.Clone(tag.Data), bytes.Repeat(ops[1:2], int(ops[1])*(len(tag.Data)&1)*8)...)
		ts += uint32(int32(int8(ops[2]))) * uint32(ops[2]&3) * 32
		tag.Timestamp = ts
		now = now.Add(time.Duration(ops[3]>>2) * 5 * time.Millisecond)
		if err := b.Add(now, tag); err != nil {
			if !errors.Is(err, ErrTagSize) && !errors.Is(err, ErrPrelude) {
				t.Fatalf("add: %v", err)
			}
			continue
		}
		tags = append(tags, tag)
		switch ops[3] & 3 {
		case 0:
			recycle()
		case 1:
			take()
		case 2:
			for take() {
			}
		}
	}
	b.Flush()
	for take() {
	}
	recycle()
	if b.Queued() != 0 || b.Held() > spareBatches*2*cfg.withDefaults().Size {
		t.Fatalf("with every batch given back %d bytes are queued and %d held", b.Queued(), b.Held())
	}
	checkBatches(t, cfg, tags, batches)
}

func TestBatcherProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := BatcherConfig{Size: rapid.IntRange(1, 5000).Draw(t, "size"), MaxTag: rapid.IntRange(10, 4000).Draw(t, "max")}
		play(t, cfg, rapid.SliceOfN(rapid.Byte(), 0, 800).Draw(t, "ops"))
	})
}

func FuzzBatcher(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 9, 40, 1, 2, 3, 20, 2, 0, 200, 41, 255})
	f.Add([]byte{5, 0, 0, 0, 2, 1, 127, 8, 2, 1, 127, 9, 2, 1, 127, 10, 2, 1, 129, 11, 2, 1, 127, 8})
	f.Add(bytes.Repeat([]byte{10, 255, 3, 0, 11, 255, 65, 2}, 40))
	f.Fuzz(func(t *testing.T, ops []byte) {
		play(t, BatcherConfig{Size: 2000, MaxTag: 3000}, ops)
	})
}

func FuzzClassify(f *testing.F) {
	for _, tag := range tagBodies {
		f.Add(byte(tag.Type), tag.Data)
	}
	f.Add(byte(9), []byte("\x97\x00\x00\x01\x00\x00\x00\x03hvc1x"))
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		tag := flv.Tag{Type: flv.TagType(typ), Data: body}
		kind, id := classify(tag, 4)
		if (kind == headerTag) != (id != headerID{}) || kind == headerTag && id.tag != tag.Type {
			t.Errorf("kind %d with id %+v: headers alone have one, of their own type", kind, id)
		}
		if kind != otherTag && len(body) == 0 {
			t.Errorf("an empty body is kind %d", kind)
		}
	})
}
