package rtmp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/remux/flv"
)

// captures is where the recordings of real clients are; see README.md there.
const captures = "../testdata/captures"

// truth is what the recorder found in one connection, by a decoder that is not
// ours.
type truth struct {
	Audio, Video *trackTruth
	NonMedia     []string `json:"non_media"`
	Types        map[string]int
}

type trackTruth struct {
	Messages, Bytes int
	FirstTS         uint32 `json:"first_ts"`
	LastTS          uint32 `json:"last_ts"`
	// Hash is FNV-1a over the bodies of all messages one after the other.
	Hash string `json:"fnv1a64_of_bodies"`
}

// recording is one connection of a capture.
type recording struct {
	name  string
	bytes []byte
	truth truth
}

// plain tells which captures are RTMP in the clear, byte for byte.
func plain(name string) bool {
	switch name {
	case "ffmpeg-5.1.9-rtmpt", "ffmpeg-9.0.2-rtmpe", "rtmfpcpp-tcpublish-rtmfp":
		return false // HTTP, ciphertext, UDP
	}
	return !strings.HasSuffix(name, ".keys")
}

// recordings returns all connections of that kind, "publish" or "play".
func recordings(tb testing.TB, kind string) []recording {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(captures, "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("find captures: %v, %d files", err, len(files))
	}
	var all []recording
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if !plain(name) {
			continue
		}
		var about struct {
			Kind        string
			Connections []struct {
				Files []string
				C2S   truth
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		if err := json.Unmarshal(text, &about); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		if about.Kind != kind {
			continue
		}
		for _, c := range about.Connections {
			b, err := os.ReadFile(filepath.Join(captures, c.Files[0]))
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, recording{name: strings.TrimSuffix(c.Files[0], ".c2s"), bytes: b, truth: c.C2S})
		}
	}
	return all
}

// capture returns one recording by its name.
func capture(tb testing.TB, name string) recording {
	tb.Helper()
	for _, r := range recordings(tb, "publish") {
		if r.name == name {
			return r
		}
	}
	tb.Fatalf("no capture %s", name)
	return recording{}
}

// lines writes events as text, data as its length and hash, so that they
// outlive the Receive and can be compared.
func lines(events []Event) []string {
	var out []string
	for _, e := range events {
		h := fnv.New64a()
		h.Write(e.Tag.Data)
		out = append(out, fmt.Sprintf("%s stream=%d app=%q tcUrl=%q name=%q query=%q type=%d ts=%d len=%d data=%x",
			e.Type, e.StreamID, e.App, e.TCURL, e.Name, e.Query, e.Tag.Type, e.Tag.Timestamp, len(e.Tag.Data), h.Sum64()))
	}
	return out
}

// feed gives p to a new server in pieces whose sizes split chooses, and returns
// all events and the error.
func feed(p []byte, split func(left int) int) ([]string, error) { return feedSlowly(p, split, 0) }

// feedSlowly takes at most so many events at once, but for an aggregate's.
func feedSlowly(p []byte, split func(left int) int, maxEvents int) ([]string, error) {
	s := NewServer(ServerConfig{MaxEvents: maxEvents})
	var all []string
	for len(p) > 0 || s.More() {
		piece := []byte(nil)
		if !s.More() {
			n := split(len(p))
			piece, p = p[:n], p[n:]
		}
		events, err := s.Receive(time.Time{}, piece)
		all = append(all, lines(events)...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func whole(left int) int { return left }

func bytewise(int) int { return 1 }

func randomly(r *rand.Rand) func(int) int {
	return func(left int) int {
		if r.IntN(4) == 0 {
			return min(left, 1+r.IntN(8))
		}
		return min(left, 1+r.IntN(5000))
	}
}

// found is what the events say of the tags of one type.
type found struct {
	trackTruth
	hash hash.Hash64
}

func (f *found) add(tag flv.Tag) {
	if f.hash == nil {
		f.hash, f.FirstTS = fnv.New64a(), tag.Timestamp
	}
	f.hash.Write(tag.Data)
	f.Hash = fmt.Sprintf("%016x", f.hash.Sum64())
	f.LastTS = tag.Timestamp
	f.Messages++
	f.Bytes += len(tag.Data)
}

// TestCaptures: what real encoders sent comes out as the recorder's decoder,
// which is not ours, found it: the messages, bytes, first and last timestamps,
// and the hash of the bodies.
func TestCaptures(t *testing.T) {
	// The recorder did not look into aggregates. What is in them is the same
	// clip as in the other synthetic captures.
	inside := capture(t, "synthetic-type3").truth
	for _, r := range recordings(t, "publish") {
		t.Run(r.name, func(t *testing.T) {
			if r.name == "synthetic-aggregate" {
				r.truth.Audio, r.truth.Video = inside.Audio, inside.Video
			}
			s := NewServer(ServerConfig{})
			events, err := s.Receive(time.Time{}, r.bytes)
			if err != nil {
				t.Fatal(err)
			}
			tags := map[flv.TagType]*found{flv.TagAudio: {}, flv.TagVideo: {}, flv.TagScript: {}}
			for _, e := range events {
				if e.Type == EventTag {
					tags[e.Tag.Type].add(e.Tag)
				}
			}
			for typ, want := range map[flv.TagType]*trackTruth{flv.TagAudio: r.truth.Audio, flv.TagVideo: r.truth.Video} {
				if want == nil {
					want = new(trackTruth)
				}
				if got := tags[typ].trackTruth; got != *want {
					t.Errorf("type %d: got %+v, want %+v", typ, got, *want)
				}
			}
			if got, want := tags[flv.TagScript].Messages, r.truth.Types["18"]+r.truth.Types["15"]; got != want {
				t.Errorf("%d script tags, want %d", got, want)
			}
		})
	}
}

// ends keeps the events that are not tags, without their data.
func ends(events []string) (out []string) {
	for _, e := range events {
		if !strings.HasPrefix(e, "tag ") {
			e, _, _ = strings.Cut(e, " type=")
			out = append(out, e)
		}
	}
	return out
}

// TestCaptureSessions: connect, publish and unpublish come once each, with what
// the encoder named.
func TestCaptureSessions(t *testing.T) {
	const url = `tcUrl="rtmp://127.0.0.1:22001/live"`
	connect := `connect stream=0 app="live" ` + url + ` name="" query=""`
	publish := func(name, query string) string {
		return fmt.Sprintf(`publish stream=1 app="live" %s name=%q query=%q`, url, name, query)
	}
	unpublish := `unpublish stream=1 app="" tcUrl="" name="" query=""`
	for _, c := range []struct {
		capture, why string
		want         []string
	}{
		{"ffmpeg-5.1.9-h264-aac", "FCUnpublish and deleteStream make one unpublish",
			[]string{connect, publish("ffmpeg_5_1_9_h264_aac", ""), unpublish}},
		{"ffmpeg-5.1.9-querykey", "the query is cut off the name, its percent-encoding untouched",
			[]string{connect, publish("ffmpeg_5_1_9_querykey", "user=alice&token=a%20b%2Fc=="), unpublish}},
		{"ffmpeg-5.1.9-reconnect", "the encoder was killed: no unpublish",
			[]string{connect, publish("ffmpeg_5_1_9_reconnect", "")}},
		{"gst-1.22.0-rtmp2sink", "transaction ids of 0",
			[]string{connect, publish("gst_1_22_0_rtmp2sink", ""), unpublish}},
		{"synthetic-amf3", "commands in AMF3",
			[]string{connect, publish("syn_amf3", ""), unpublish}},
	} {
		t.Run(c.capture, func(t *testing.T) {
			got, err := feed(capture(t, c.capture).bytes, whole)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, ends(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

// TestCaptureSplits: however the network splits the bytes, the events are the
// same.
func TestCaptureSplits(t *testing.T) {
	all := append(recordings(t, "publish"), recordings(t, "play")...)
	for i, r := range all {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			want, err := feed(r.bytes, whole)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) == 0 {
				t.Fatal("no events")
			}
			check := func(how string, split func(int) int) {
				got, err := feedSlowly(r.bytes, split, 3)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s (-whole +split):\n%s", how, diff)
				}
			}
			check("byte by byte", bytewise)
			for seed := range uint64(8) {
				check(fmt.Sprint("random ", seed), randomly(rand.New(rand.NewPCG(seed, uint64(i)))))
			}
		})
	}
}

// TestPlayCaptures: players are connected, told that there is nothing to play,
// and publish nothing.
func TestPlayCaptures(t *testing.T) {
	for _, r := range recordings(t, "play") {
		t.Run(r.name, func(t *testing.T) {
			s := NewServer(ServerConfig{})
			events, err := s.Receive(time.Time{}, r.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if len(events) != 1 || events[0].Type != EventConnect {
				t.Errorf("events %v, want one connect", lines(events))
			}
			if !bytes.Contains(s.Output(), []byte("NetStream.Play.StreamNotFound")) {
				t.Error("the player was not told")
			}
		})
	}
}
