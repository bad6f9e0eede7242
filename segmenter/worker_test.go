package segmenter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
	"weir/media/object"
	"weir/remux/flv"
	"weir/storage"
)

// tape is a Source over a recording. It ends where the recording does.
type tape struct{ batches []*framelog.Batch }

var errTapeEnd = errors.New("end of the tape")

func (s tape) Read(ctx context.Context, _, _ string, after framelog.Position, fn func(*framelog.Batch, bool) error) error {
	for _, b := range s.batches {
		if b.Seq <= after.Seq {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(b, false); err != nil {
			return err
		}
	}
	return errTapeEnd
}

// key is the checkpoint of one rendition, as a compare-and-set key holds it.
type key struct {
	mu       sync.Mutex
	state    []byte
	revision int
	closed   bool
}

// claim is one worker's hold on a key.
type claim struct {
	key      *key
	revision int
}

func (k *key) claim() *claim {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.revision++
	return &claim{key: k, revision: k.revision}
}

func (c *claim) Save(ctx context.Context, state []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.key.mu.Lock()
	defer c.key.mu.Unlock()
	if c.revision != c.key.revision {
		return ErrNotOwner
	}
	c.key.revision++
	c.revision, c.key.state = c.key.revision, bytes.Clone(state)
	return nil
}

func (c *claim) Close(ctx context.Context, state []byte) error {
	if err := c.Save(ctx, state); err != nil {
		return err
	}
	c.key.closed = true
	return nil
}

// step is one thing that a worker does to the world.
type step func(what string) error

// world hands a worker its store and its checkpoint, and may stop it before
// or after any of its steps.
type world struct {
	store storage.Store
	claim *claim
	step  step
}

func (w world) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if err := w.step("before put"); err != nil {
		return "", err
	}
	etag, err := w.store.Put(ctx, o, c)
	if stop := w.step("after put"); stop != nil {
		return "", stop
	}
	return etag, err
}

func (w world) Get(ctx context.Context, key string) ([]byte, object.Info, error) {
	return w.store.Get(ctx, key)
}

func (w world) Delete(ctx context.Context, key string) error {
	if err := w.step("before delete"); err != nil {
		return err
	}
	err := w.store.Delete(ctx, key)
	if stop := w.step("after delete"); stop != nil {
		return stop
	}
	return err
}

func (w world) Save(ctx context.Context, state []byte) error {
	if err := w.step("before save"); err != nil {
		return err
	}
	err := w.claim.Save(ctx, state)
	if stop := w.step("after save"); stop != nil {
		return stop
	}
	return err
}

func (w world) Close(ctx context.Context, state []byte) error {
	if err := w.step("before close"); err != nil {
		return err
	}
	err := w.claim.Close(ctx, state)
	if stop := w.step("after close"); stop != nil {
		return stop
	}
	return err
}

const broadcast = "20261121T014500Z-k3v9m2x8q0r7t5wz"

var alice = media.Stream{App: "live", Name: "alice"}

var quiet = slog.New(slog.DiscardHandler)

// life runs a worker on k until it ends or step stops it.
func life(t *testing.T, k *key, store storage.Store, rec *synthetic.Log, set hls.Settings, step step) error {
	t.Helper()
	w := world{store: store, claim: k.claim(), step: oneByOne(step)}
	worker := &Worker{Source: tape{rec.Batches}, Store: w, Settings: set, Log: quiet, Ahead: NewBudget(1<<20, 8)}
	return worker.Package(context.Background(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, State: k.state, Checkpoint: w})
}

func anyStep(string) error { return nil }

// oneByOne lets a test look at each step of a worker, which does several at a
// time. (A channel: synctest's clock does not go on while a mutex is waited
// for.)
func oneByOne(do step) step {
	one := make(chan struct{}, 1)
	return func(what string) error {
		one <- struct{}{}
		defer func() { <-one }()
		return do(what)
	}
}

// contents returns what a store holds, by key.
func contents(t *testing.T, s storage.Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := s.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = string(body)
	}
	return all
}

func sameObjects(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[k]; !ok {
			t.Errorf("object %s is missing", k)
		} else if g != want[k] {
			t.Errorf("object %s differs:\n%.300s\nwant\n%.300s", k, g, want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("object %s should not be there", k)
		}
	}
}

func longShow(t *testing.T) *synthetic.Log {
	rec := new(synthetic.Log)
	a := synthetic.New(30)
	a.PictureLen, a.GOP, a.FPS = 30, 1, 10
	rec.Session(t, a.Tags(), framelog.End|framelog.Lost)
	b := a
	b.Seed, b.Seconds = 1, 60
	rec.Session(t, b.Tags(), framelog.Final)
	return rec
}

var settings = hls.Settings{Segment: 4 * time.Second, Window: 60 * time.Second}

var shortSegments = hls.Settings{Segment: time.Second, Window: 6 * time.Second}

// A worker killed before or after any of its steps, and the next one too, and
// so on: the objects are those of an undisturbed run, and at every moment each
// playlist names only objects that are there and never goes back.
func TestKilledAtEveryStep(t *testing.T) {
	rec := longShow(t)
	store := storage.NewMemory()
	k := new(key)
	steps := 0
	if err := life(t, k, store, rec, shortSegments, func(string) error { steps++; return nil }); err != nil {
		t.Fatal(err)
	}
	want := contents(t, store)
	errKilled := fmt.Errorf("%w: killed", ErrNotOwner) // ends the worker at once, as a kill would

	for _, stride := range []int{1, 4, 30} {
		store, k := storage.NewMemory(), new(key)
		watch := newViewer(t, store)
		lives := 0
		for !k.closed {
			lives++
			left := stride
			err := life(t, k, store, rec, shortSegments, func(string) error {
				watch.look()
				if left--; left < 0 {
					return errKilled
				}
				return nil
			})
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("stride %d, life %d: %v", stride, lives, err)
			}
			if lives > 100*steps {
				t.Fatalf("stride %d: no progress after %d lives", stride, lives)
			}
			stride++ // a life that only redoes what the one before did would go on for ever
		}
		t.Logf("%d lives for %d steps", lives, steps)
		sameObjects(t, contents(t, store), want)
	}
}

// viewer looks at the playlists as a player does.
type viewer struct {
	t        *testing.T
	store    storage.Store
	sequence int
	end      int
}

func newViewer(t *testing.T, s storage.Store) *viewer { return &viewer{t: t, store: s} }

func (v *viewer) look() {
	v.t.Helper()
	prefix := alice.String() + "/" + broadcast + "/source/"
	for _, name := range []string{"live.m3u8", "vod.m3u8"} {
		body, _, err := v.store.Get(v.t.Context(), prefix+name)
		if errors.Is(err, object.ErrNotExist) {
			continue
		}
		if err != nil {
			v.t.Error(err)
			return
		}
		sequence, uris := 0, 0
		for line := range strings.SplitSeq(string(body), "\n") {
			fmt.Sscanf(line, "#EXT-X-MEDIA-SEQUENCE:%d", &sequence)
			if strings.HasSuffix(line, ".ts") {
				uris++
				if _, err := v.store.Stat(v.t.Context(), prefix+line); err != nil {
					v.t.Errorf("%s names %s: %v", name, line, err)
				}
			}
		}
		if name != "live.m3u8" {
			continue
		}
		if sequence < v.sequence || sequence+uris < v.end {
			v.t.Errorf("the playlist went back: from %d..%d to %d..%d", v.sequence, v.end, sequence, sequence+uris)
		}
		v.sequence, v.end = sequence, sequence+uris
	}
}

// A worker that sleeps between two steps while another takes over and ends
// the broadcast finds out at its next step, and changes nothing.
func TestZombieWorker(t *testing.T) {
	rec := longShow(t)
	undisturbed, k := storage.NewMemory(), new(key)
	if err := life(t, k, undisturbed, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	want := contents(t, undisturbed)
	for sleep := 1; sleep < 400; sleep += 13 {
		store, k := storage.NewMemory(), new(key)
		n := 0
		err := life(t, k, store, rec, shortSegments, func(string) error {
			if n++; n == sleep {
				if err := life(t, k, store, rec, shortSegments, anyStep); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if n >= sleep && !errors.Is(err, ErrNotOwner) {
			t.Errorf("asleep at step %d: the zombie ended with %v, want %v", sleep, err, ErrNotOwner)
		}
		if got := contents(t, store); !maps.Equal(got, want) {
			t.Errorf("asleep at step %d:", sleep)
			sameObjects(t, got, want)
		}
	}
}

// Another release made other bytes of the same log and died before its
// checkpoint: ours go beside them, and the playlists name ours.
func TestSegmentOfAnotherRelease(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(10))
	store, k := storage.NewMemory(), new(key)
	there := alice.String() + "/" + broadcast + "/source/00000001.ts"
	if _, err := store.Put(t.Context(), object.Object{Key: there, Body: []byte("other bytes")}, object.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := life(t, k, store, rec, settings, anyStep); err != nil {
		t.Fatal(err)
	}
	body, _, err := store.Get(t.Context(), alice.String()+"/"+broadcast+"/source/vod.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte("\n00000001.ts")) || !bytes.Contains(body, []byte("\n00000001-")) {
		t.Errorf("the playlist names the other release's segment:\n%s", body)
	}
}

// An old broadcast that ends late does not take the entry point back, and a
// new one takes it though the old one has ended.
func TestEntryPointBelongsToTheNewestBroadcast(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(10))
	entry := func(broadcast string) string {
		return "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + broadcast + "/source/vod.m3u8\n"
	}
	for _, tt := range []struct {
		name, there string
		keeps       bool
	}{
		{"a newer broadcast's", entry(broadcast + "x"), true},
		{"an older broadcast's", entry("20200101T000000Z-a"), false},
		{"no playlist", "damaged", false},
	} {
		store, k := storage.NewMemory(), new(key)
		o := object.Object{Key: alice.String() + "/index.m3u8", Body: []byte(tt.there)}
		if _, err := store.Put(t.Context(), o, object.Condition{}); err != nil {
			t.Fatal(err)
		}
		if err := life(t, k, store, rec, settings, anyStep); err != nil {
			t.Fatal(err)
		}
		got := contents(t, store)[o.Key]
		if kept := got == tt.there; kept != tt.keeps || !kept && !strings.Contains(got, broadcast+"/source/vod.m3u8") {
			t.Errorf("%s: the entry point became\n%s", tt.name, got)
		}
	}
}

// A worker that is told to go finishes the segment at hand and leaves the
// rest to the next one.
func TestToldToGo(t *testing.T) {
	rec := longShow(t)
	undisturbed, k := storage.NewMemory(), new(key)
	if err := life(t, k, undisturbed, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	store, k := storage.NewMemory(), new(key)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	w := world{store: store, claim: k.claim(), step: oneByOne(func(string) error {
		if n++; n == 50 {
			cancel()
		}
		return nil
	})}
	worker := &Worker{Source: tape{rec.Batches}, Store: w, Settings: shortSegments, Log: quiet}
	err := worker.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: w})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("told to go: %v, want %v", err, context.Canceled)
	}
	if err := life(t, k, store, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	sameObjects(t, contents(t, store), contents(t, undisturbed))
}

// What is left out is said once of each track, not once a frame: an operator
// who hears nothing would look for the fault everywhere else.
func TestForeignCodecsAreTold(t *testing.T) {
	source := synthetic.New(4)
	tags := source.Tags()
	for i := range tags {
		if tags[i].Type == flv.TagAudio {
			tags[i].Data = []byte{0xb2, 0xff, 0xfb} // Speex
		}
	}
	rec := new(synthetic.Log)
	rec.Session(t, tags, framelog.End|framelog.Final)
	var said bytes.Buffer
	w := &Worker{Source: tape{rec.Batches}, Store: storage.NewMemory(), Settings: settings, Log: slog.New(slog.NewTextHandler(&said, nil))}
	err := w.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()})
	if err != nil {
		t.Fatal(err)
	}
	if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(strings.ToLower(got), "codec=speex") {
		t.Errorf("the worker said:\n%swant one line that names Speex", got)
	}
}

// An encoder whose key frames are further apart than segments are to be long is
// told of once: OBS as it is sends one each 250 pictures.
func TestLongSegmentsAreTold(t *testing.T) {
	for _, tt := range []struct {
		gop  float64
		told int
	}{{2, 0}, {4.004, 0}, {250. / 30, 1}} {
		show := synthetic.New(30)
		show.GOP = tt.gop
		var said bytes.Buffer
		w := &Worker{Source: tape{synthetic.Record(t, show).Batches}, Store: storage.NewMemory(), Settings: settings, Log: slog.New(slog.NewTextHandler(&said, nil))}
		if err := w.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(said.String(), "key frame every 2 s"); n != tt.told {
			t.Errorf("a key frame each %.1f s: told %d times, want %d:\n%s", tt.gop, n, tt.told, &said)
		}
	}
}

// Each reason why something reaches no viewer is told once, in words, and
// counted in the State that operators are shown.
func TestDropsAreTold(t *testing.T) {
	tags := synthetic.New(8).Tags()
	for i, damaged := 0, 0; damaged < 3; i++ {
		if tags[i].Type == flv.TagVideo && tags[i].Timestamp > 1000 && !flv.IsKeyframe(tags[i]) {
			tags[i].Data = append(bytes.Clone(tags[i].Data[:5]), 0, 0, 1, 0, 0x41) // a NAL unit that ends early
			damaged++
		}
	}
	rec := new(synthetic.Log)
	rec.Session(t, tags, framelog.Final)
	var said bytes.Buffer
	k := new(key)
	w := &Worker{Source: tape{rec.Batches}, Store: storage.NewMemory(), Settings: settings, Log: slog.New(slog.NewTextHandler(&said, nil))}
	if err := w.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: k.claim()}); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); strings.Count(got, "left out of what viewers see") != 1 || !strings.Contains(got, media.DropDamaged.Sentence()) {
		t.Errorf("the worker said:\n%swant one line, that frames were damaged", got)
	}
	if sum := hls.Summarize(k.state); sum.Drops[media.DropDamaged] != 3 {
		t.Errorf("the summary counts %v, want 3 damaged", sum.Drops)
	}
}
