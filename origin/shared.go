package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"weir/media/object"
)

const (
	// playlistFresh is for how long what the store said of a playlist is said
	// again: however many viewers a stream has, the store is asked that often,
	// and what it said is compressed once.
	playlistFresh = 200 * time.Millisecond
	// segmentFresh is for how long a segment that several viewers want stays in
	// memory: as long as viewers of the live edge come for it. It never changes.
	segmentFresh = 15 * time.Second
	// wantedAgain is how soon a segment must be asked for again to be one that
	// several viewers want.
	wantedAgain = 5 * time.Second
	// playlistsMost and segmentsMost bound the bytes of all that is kept, or is
	// being sent to somebody. Beyond it objects are sent from the store, each
	// to one viewer, and not compressed.
	playlistsMost = 64 << 20
	segmentsMost  = 64 << 20
	// maxPlaylist bounds one. A playlist of 24 h of 1 s segments has 4 MB.
	maxPlaylist = 8 << 20
	// maxShared bounds a segment: larger ones are sent from the store.
	maxShared = 8 << 20
	// storePatience is how long a viewer waits for the store to answer: players
	// ask again where they are told to, and give up where they are not.
	storePatience = 5 * time.Second
)

// errNoRoom says that an object is to be sent from the store: see
// playlistsMost.
var errNoRoom = errors.New("too many objects are being sent")

// shared are objects in buffers that all viewers share: one who reads slowly
// holds no copy, and the store is asked once for all.
type shared struct {
	objects Objects
	fresh   time.Duration // for how long an answer is given again
	most    int           // bytes
	largest int64         // bytes of one
	limit   error         // what one is refused with that is larger

	mu    sync.Mutex
	known map[string]*buffer
	bytes int // of all that are known, or held
}

// buffer is one answer of the store, or a question under way.
type buffer struct {
	ready chan struct{} // closed when there is an answer
	asked time.Time

	// The answer; nobody changes it.
	body   []byte
	zipped func() []byte
	info   object.Info
	err    error

	size     int  // that it counts for; guarded by shared.mu, as are the others
	holders  int  // who send it
	replaced bool // nobody else will hold it
}

func newPlaylists(objects Objects) *shared {
	return &shared{objects: objects, fresh: playlistFresh, most: playlistsMost, largest: maxPlaylist,
		limit: fmt.Errorf("read playlist: it is longer than %d bytes", maxPlaylist), known: make(map[string]*buffer)}
}

func newSegments(objects Objects) *shared {
	return &shared{objects: objects, fresh: segmentFresh, most: segmentsMost, largest: maxShared, limit: errNoRoom, known: make(map[string]*buffer)}
}

// hold returns an object as it was less than fresh ago. Who asks first asks for
// all, and to the end; the others wait for it. release must be called when it
// has been sent.
func (s *shared) hold(ctx context.Context, key string) (held *buffer, release func(), err error) {
	s.mu.Lock()
	b := s.known[key]
	first := b == nil || time.Since(b.asked) >= s.fresh
	if first {
		s.dropStale()
		s.drop(b)
		b = &buffer{ready: make(chan struct{}), asked: time.Now()}
		s.known[key] = b
	}
	b.holders++
	s.mu.Unlock()
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.holders--
		s.forgive(b)
	}
	if first {
		s.load(context.WithoutCancel(ctx), b, key)
	}
	select {
	case <-b.ready:
		err = b.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return b, release, nil
}

// dropStale forgets what is not fresh, when there is much of it. s.mu is held.
func (s *shared) dropStale() {
	if len(s.known) < 256 && s.bytes < s.most/2 {
		return
	}
	maps.DeleteFunc(s.known, func(_ string, b *buffer) bool {
		stale := time.Since(b.asked) >= s.fresh
		if stale {
			s.drop(b)
		}
		return stale
	})
}

// drop lets nobody else hold b, which may be nil. s.mu is held.
func (s *shared) drop(b *buffer) {
	if b != nil && !b.replaced {
		b.replaced = true
		s.forgive(b)
	}
}

// forgive stops counting what nobody holds any more. s.mu is held.
func (s *shared) forgive(b *buffer) {
	if b.replaced && b.holders == 0 {
		s.bytes -= b.size
		b.size = 0
	}
}

// load asks the store. What has failed is asked again by the next who comes.
func (s *shared) load(ctx context.Context, b *buffer, key string) {
	defer close(b.ready)
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if b.err = s.read(ctx, b, key); b.err != nil && !errors.Is(b.err, object.ErrNotExist) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.known[key] == b {
			delete(s.known, key)
		}
		s.drop(b)
	}
}

func (s *shared) read(ctx context.Context, b *buffer, key string) error {
	body, info, err := s.objects.Open(ctx, key)
	if err != nil {
		return err
	}
	defer body.Close()
	if info.Size > s.largest {
		return s.limit
	}
	// A compressed playlist takes a part of that again.
	if !s.take(b, int(info.Size)*5/4) {
		return errNoRoom
	}
	b.body = make([]byte, info.Size)
	if _, err := io.ReadFull(body, b.body); err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	b.info = info
	b.zipped = sync.OnceValue(func() []byte { return gzipped(b.body) })
	return nil
}

// take counts size bytes for b, if that many are left.
func (s *shared) take(b *buffer, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+size > s.most {
		return false
	}
	s.bytes += size
	b.size = size
	return true
}

// wanted remembers which segments were asked for lately.
type wanted struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// again tells whether a key is asked for again, and remembers it.
func (w *wanted) again(key string) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.last[key]
	if !ok && len(w.last) >= 1024 { // a few seconds of very many viewers, or keys that somebody makes up
		clear(w.last)
	}
	w.last[key] = now
	return ok && now.Sub(last) < wantedAgain
}
