package segmenter

import (
	"bytes"
	"context"
	"testing"
	"testing/fstest"
	"time"

	"weir/check"
	"weir/hls"
	"weir/internal/synthetic"
	"weir/media/framelog"
	"weir/media/object"
	"weir/storage"
)

// holed is a tape of which some batches have aged out.
type holed struct {
	tape
	from, to int
}

func (s holed) Read(_ context.Context, _, _ string, after framelog.Position, fn func(*framelog.Batch, bool) error) error {
	missed := false
	for i, b := range s.batches {
		if b.Seq <= after.Seq {
			continue
		}
		if i >= s.from && i < s.to {
			missed = true
			continue
		}
		if err := fn(b, missed); err != nil {
			return err
		}
		missed = false
	}
	return errTapeEnd
}

// A show with a gap passes weir check, and its index objects and VOD have it,
// too.
func TestGapConforms(t *testing.T) {
	rec := new(synthetic.Log)
	a := synthetic.New(400)
	a.FPS, a.PictureLen, a.GOP = 5, 40, 1
	rec.Session(t, a.Tags(), framelog.Final)
	set := hls.Settings{Segment: time.Second, Window: 60 * time.Second}
	store := storage.NewMemory()
	k := new(key)
	worker := &Worker{Source: holed{tape{rec.Batches}, 400, 560}, Store: store, Settings: set, Log: quiet, Ahead: NewBudget(1<<20, 8)}
	if err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: k.claim()}); err != nil {
		t.Fatal(err)
	}
	all := contents(t, store)
	vod := all[source00+"vod.m3u8"]
	if n := bytes.Count([]byte(vod), []byte("#EXT-X-GAP")); n < 40 || n > 42 {
		t.Errorf("vod.m3u8 has %d gaps of a second, want the 40 and the rest of a group of pictures", n)
	}
	conforms(t, all)
}

// conforms holds objects against weir check.
func conforms(t *testing.T, objects map[string]string, but ...string) {
	t.Helper()
	all := make(fstest.MapFS)
	for name, body := range objects {
		all[name] = &fstest.MapFile{Data: []byte(body)}
	}
	r, err := check.Directory(all, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range append(but, "M3U-GAP") { // it says so, rightly
		delete(r.Counts, rule)
	}
	if r.Errors() > 0 || r.Warnings() > 0 {
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		t.Errorf("weir check:\n%s", text.String())
	}
}

// A hole that is about as long as the longest jump of time that is believed,
// and longer than the window, is one for both tracks: sound stays with its
// pictures.
func TestHoleKeepsSoundAndPicturesTogether(t *testing.T) {
	s := synthetic.New(40)
	s.FPS, s.GOP, s.PictureLen = 5, 0.2, 40
	tags := s.Tags()
	for i := range tags {
		if tags[i].Timestamp >= 10000 {
			tags[i].Timestamp += 9750 // and the batch that is lost: 10.15 s of video, 9.97 of audio
		}
	}
	rec := new(synthetic.Log)
	rec.Session(t, tags, framelog.Final)
	store := storage.NewMemory()
	worker := &Worker{Source: holed{tape{rec.Batches}, 50, 51}, Store: store, Settings: hls.Settings{Segment: time.Second, Window: 5 * time.Second}, Log: quiet}
	if err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}); err != nil {
		t.Fatal(err)
	}
	conforms(t, contents(t, store))
}
