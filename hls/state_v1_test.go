package hls

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"weir/internal/synthetic"
	"weir/media/aac"
	"weir/media/framelog"
	"weir/remux/flv"
	"weir/remux/mpegts"
)

// oldCut is what the last release of State version 1 (commit 126162e) made of
// a boundary of oldLog: the segment's name and sum, and some of its States.
type oldCut struct {
	Segment string          `json:"segment"`
	SHA256  string          `json:"sha256"`
	State   json.RawMessage `json:"state"`
}

func oldCuts(t testing.TB) (cuts []oldCut) {
	t.Helper()
	text, err := os.ReadFile("testdata/v1/broadcast.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var c oldCut
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, c)
	}
	return cuts
}

// The batches of oldLog from lostFrom to lostTo had aged out when it was read.
const lostFrom, lostTo = 700, 720

// oldLog is the log that oldCuts are of: sessions of all kinds, which end in
// all ways.
func oldLog(t testing.TB) []*framelog.Batch {
	rec := new(synthetic.Log)
	a := synthetic.New(21)
	a.ChangeAt, a.ChangeTo, a.AudioLate = 14, synthetic.AVC360, 0.6
	rec.Session(t, a.Tags(), framelog.End|framelog.Lost)
	b := synthetic.New(9)
	b.Start, b.Seed, b.AudioLate = 77, 1, 3.2
	rec.Session(t, b.Tags(), 0)
	c := synthetic.New(30)
	c.Seed, c.GOP, c.OpenGOPs = 2, 30, true
	rec.Session(t, c.Tags(), framelog.End|framelog.Lost)
	d := synthetic.New(100)
	d.Seed, d.Video = 3, false
	rec.Session(t, d.Tags(), framelog.End|framelog.Lost)
	e := synthetic.New(40)
	e.Seed, e.FPS, e.GOP, e.PictureLen = 4, 5, 2.4, 40
	rec.Session(t, e.Tags(), framelog.Final)
	return rec.Batches
}

// goOn cuts the rest of oldLog behind a State.
func goOn(t testing.TB, s State, batches []*framelog.Batch) (cuts []*Cut) {
	t.Helper()
	c, err := Restore(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range batches {
		if i >= lostFrom && i < lostTo || b.Seq <= s.Position {
			continue
		}
		if i == lostTo && b.First-1 != s.Position {
			cuts = append(cuts, c.Missed()...)
		}
		cuts = append(cuts, c.Push(b)...)
	}
	return cuts
}

// sameJSON tells whether a State is the old one, but for members that a release
// of version 1 does not know, and reads over.
func sameJSON(t *testing.T, got, old []byte) bool {
	t.Helper()
	var x, y map[string]any
	for p, to := range map[*map[string]any][]byte{&x: got, &y: old} {
		if err := json.Unmarshal(to, p); err != nil {
			t.Fatal(err)
		}
	}
	forget(x, "split", "late", "drops")
	clocks, _ := x["timeline"].(map[string]any)
	for _, track := range []string{"video", "audio"} {
		k, _ := clocks[track].(map[string]any)
		forget(k, "at", "pace", "met", "skew", "spread", "heard", "still", "off", "skipped", "order", "shown")
	}
	return reflect.DeepEqual(x, y)
}

func forget(m map[string]any, members ...string) {
	for _, name := range members {
		delete(m, name)
	}
}

// A broadcast that the last release began is gone on with as that release
// would have: the same names, the same bytes, and States that it can read. So
// may workers of both take it from each other, again and again.
func TestVersion1GoesOn(t *testing.T) {
	batches, old := oldLog(t), oldCuts(t)
	for at, from := range old {
		if from.State == nil {
			continue
		}
		s, err := ParseState(from.State)
		if err != nil {
			t.Fatalf("cut %d: %v", at, err)
		}
		if blob := s.Encode(); !sameJSON(t, blob, from.State) {
			t.Fatalf("cut %d: its State is written as\n%s\nwhich was\n%s", at, blob, from.State)
		}
		got, want := goOn(t, s, batches), old[at+1:]
		if len(got) != len(want) {
			t.Fatalf("behind cut %d there are %d more, want %d", at, len(got), len(want))
		}
		for i, cut := range got {
			w := want[i]
			if w.Segment != "" && (cut.Segment.Name != w.Segment || fmt.Sprintf("%x", sha256.Sum256(cut.Segment.Body)) != w.SHA256) {
				t.Fatalf("gone on with behind cut %d, segment %s has other bytes than %s had", at, cut.Segment.Name, w.Segment)
			}
			if w.State != nil && !sameJSON(t, cut.State.Encode(), w.State) {
				t.Fatalf("gone on with behind cut %d, the State at %s is\n%s\nwant\n%s", at, w.Segment, cut.State.Encode(), w.State)
			}
		}
	}
}

// A broadcast that begins now has the new version, and says what it is made
// of. Its State is the same in both directions, too.
func TestVersion2(t *testing.T) {
	out := cutAll(t, newCutter(t, Settings{Segment: 2 * time.Second, Window: 6 * time.Second}), synthetic.Record(t, synthetic.New(9)).Batches)
	blob := out.state.Encode()
	var got struct {
		Version int
		Format  string
		Tracks  []struct {
			Codec  string
			Record []byte
		}
	}
	if err := json.Unmarshal(blob, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != StateVersion || got.Format != "ts" || len(got.Tracks) != 2 || got.Tracks[0].Codec != "avc1" || !bytes.Equal(got.Tracks[1].Record, synthetic.ASC441) {
		t.Errorf("the State says %+v; want version %d, ts, and the two tracks", got, StateVersion)
	}
	for _, v1 := range []string{`"continuity"`, `"avc"`, `"aac"`} {
		if bytes.Contains(blob, []byte(v1+":")) {
			t.Errorf("the State has version 1's %s: %s", v1, blob)
		}
	}
}

// What MuxerVersion 2 does for players, a broadcast that began before it does
// without: no silence, no pictures again, no date that moves. One that begins now
// has all of that from its first segment on.
func TestVersion1HasNoNewRules(t *testing.T) {
	s := synthetic.New(20)
	s.FPS, s.PictureLen, s.Mute, s.Freeze = 10, 60, synthetic.Span{From: 4, To: 9}, synthetic.Span{From: 11, To: 16}
	rec := synthetic.Record(t, s)
	frames := func(version int) (sounds, pictures int) {
		c := newCutter(t, twoSeconds)
		if version == 1 {
			state := newState(twoSeconds, TS)
			state.Version, state.Muxer = 1, 1
			parsed, err := ParseState(state.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if c, err = Restore(parsed); err != nil {
				t.Fatal(err)
			}
		}
		var out output
		log := aged{rec.Batches, make([]bool, len(rec.Batches))}
		for _, b := range rec.Batches {
			out.take(c.Push(b)...)
			log.recall(c)
		}
		if got := c.State(); got.Version != version || got.Muxer != version {
			t.Fatalf("version %d has become %d, by the rules of %d", version, got.Version, got.Muxer)
		}
		for _, body := range out.bodies {
			for e := range mpegts.Demux(body) {
				switch {
				case e.Type != mpegts.EventPES:
				case e.PES.Type == mpegts.StreamH264:
					pictures++
				default:
					for data := e.PES.Data; len(data) > 0; sounds++ {
						f, err := aac.ParseADTS(data)
						if err != nil {
							t.Fatal(err)
						}
						data = data[f.FrameSize:]
					}
				}
			}
		}
		return sounds, pictures
	}
	sent := [2]int{}
	for _, tag := range s.Tags() {
		switch {
		case flv.IsSequenceHeader(tag):
		case tag.Type == flv.TagAudio:
			sent[0]++
		default:
			sent[1]++
		}
	}
	sounds, pictures := frames(1)
	if sounds != sent[0] || pictures != sent[1] {
		t.Errorf("by the rules of before: %d sounds and %d pictures, want the %d and %d that were sent", sounds, pictures, sent[0], sent[1])
	}
	if more, again := frames(2); more < sounds+5*40 || again <= pictures {
		t.Errorf("by those of now: %d sounds and %d pictures, want more than %d and %d", more, again, sounds, pictures)
	}
}
