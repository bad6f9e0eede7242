package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"weir/hls"
	"weir/media/object"
)

// Sweep finds what broadcasts left in a store and nobody will ask for, and
// deletes it where it is told to. It knows the keys of package object,
// and takes other keys for somebody else's. What a playlist names is never
// deleted before the playlist.
type Sweep struct {
	Store interface {
		Get(ctx context.Context, key string) ([]byte, object.Info, error)
		List(ctx context.Context, prefix string) iter.Seq2[object.Info, error]
		Delete(ctx context.Context, key string) error
	}
	// InUse tells whether somebody still writes to a broadcast. It is asked
	// before a broadcast is looked at, and again before it is touched.
	InUse func(ctx context.Context, stream, broadcast string) (bool, error)
	// Prefix confines the sweep, to whole broadcasts: app/, app/name/, or
	// app/name/broadcast/.
	Prefix string
	// Grace is how old an object must be to be an orphan; DefaultGrace for 0.
	Grace time.Duration
	// Expire, where not 0, is the age at which a whole broadcast goes, counted
	// from the last write to it.
	Expire time.Duration
	// Delete deletes. Without it a sweep only tells.
	Delete bool
}

// DefaultGrace is longer than any upload or retry is under way.
const DefaultGrace = 24 * time.Hour

// Litter is an object that nobody will ask for.
type Litter struct {
	object.Info
	Reason Reason
}

// Reason says why an object is litter.
type Reason string

// The reasons. An orphan is a segment that no playlist of its broadcast names:
// a worker died between its upload and its checkpoint, or two releases made it.
const (
	Orphan  Reason = "orphan"
	Expired Reason = "expired"
)

// Run sweeps at the time now. It yields the objects that it found and, where
// Delete is set, has deleted. Beside an error it yields the broadcast in
// question, as the Key, which is then left alone; Run goes on with the next.
// An error of the list, or of the context, ends it.
func (s *Sweep) Run(ctx context.Context, now time.Time) iter.Seq2[Litter, error] {
	return func(yield func(Litter, error) bool) {
		parts := strings.Split(s.Prefix, "/")
		if s.Prefix != "" && (len(parts) > 4 || parts[len(parts)-1] != "") {
			yield(Litter{}, fmt.Errorf("sweep store: prefix %q is not of the form app/name/broadcast/", s.Prefix))
			return
		}
		var one broadcast
		for info, err := range s.Store.List(ctx, s.Prefix) {
			if err != nil {
				yield(Litter{}, fmt.Errorf("sweep store: %w", err))
				return
			}
			stream, name, _, ok := object.SplitKey(info.Key)
			if !ok {
				continue
			}
			if stream != one.stream || name != one.name {
				if !s.broadcast(ctx, now, one, yield) {
					return
				}
				one = broadcast{stream: stream, name: name, objects: one.objects[:0]}
			}
			one.objects = append(one.objects, info)
		}
		s.broadcast(ctx, now, one, yield)
	}
}

// broadcast is what a list has of one broadcast, which it names together.
type broadcast struct {
	stream, name string
	objects      []object.Info
}

// broadcast sweeps one broadcast and tells whether to go on.
func (s *Sweep) broadcast(ctx context.Context, now time.Time, b broadcast, yield func(Litter, error) bool) bool {
	if len(b.objects) == 0 {
		return true
	}
	litter, err := s.find(ctx, now, b)
	for _, l := range litter {
		if s.Delete {
			if err = s.Store.Delete(ctx, l.Key); err != nil {
				break
			}
		}
		if !yield(l, nil) {
			return false
		}
	}
	if err == nil {
		return true
	}
	key := path.Join(b.stream, b.name)
	return yield(Litter{Info: object.Info{Key: key}}, fmt.Errorf("sweep %s: %w", key, err)) && ctx.Err() == nil
}

// find returns what may go of a broadcast, in the order in which it may go.
func (s *Sweep) find(ctx context.Context, now time.Time, b broadcast) ([]Litter, error) {
	if used, err := s.InUse(ctx, b.stream, b.name); used || err != nil {
		return nil, err
	}
	newest := slices.MaxFunc(b.objects, func(a, b object.Info) int { return a.Modified.Compare(b.Modified) })
	var litter []Litter
	var err error
	if s.Expire > 0 && now.Sub(newest.Modified) > s.Expire {
		litter, err = s.expired(ctx, now, b)
	} else {
		litter, err = s.orphans(ctx, now, b)
	}
	if err != nil || len(litter) == 0 {
		return nil, err
	}
	// The stream may have begun again while its playlists were read.
	if used, err := s.InUse(ctx, b.stream, b.name); used || err != nil {
		return nil, err
	}
	return litter, nil
}

// expired returns the whole broadcast, the playlists that name others first.
// A broadcast that the stream's entry point names goes with the entry point:
// that is as old, for both were written at its end.
func (s *Sweep) expired(ctx context.Context, now time.Time, b broadcast) ([]Litter, error) {
	var litter []Litter
	entry := object.EntryPoint(b.stream)
	body, info, err := s.Store.Get(ctx, entry)
	switch {
	case errors.Is(err, object.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		named, err := References(entry, body)
		if err != nil {
			return nil, err
		}
		below := object.BroadcastPrefix(b.stream, b.name)
		if slices.ContainsFunc(named, func(key string) bool { return strings.HasPrefix(key, below) }) {
			if now.Sub(info.Modified) <= s.Expire {
				return nil, nil
			}
			litter = append(litter, Litter{info, Expired})
		}
	}
	for _, o := range b.objects {
		litter = append(litter, Litter{o, Expired})
	}
	slices.SortStableFunc(litter, func(a, b Litter) int { return rank(a.Key) - rank(b.Key) })
	return litter, nil
}

// rank orders keys so that what names others comes before what it names: the
// entry point, the broadcast's multivariant playlist, media playlists, the
// rest.
func rank(key string) int {
	if !isPlaylist(key) {
		return 1 << 10 // deeper than any playlist, as keys have at most 900 bytes
	}
	return strings.Count(key, "/")
}

// orphans returns the segments that no playlist of the broadcast names.
func (s *Sweep) orphans(ctx context.Context, now time.Time, b broadcast) ([]Litter, error) {
	grace := s.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	named := make(map[string]bool)
	for _, o := range b.objects {
		if !isPlaylist(o.Key) {
			continue
		}
		body, _, err := s.Store.Get(ctx, o.Key)
		if err != nil {
			return nil, err
		}
		keys, err := References(o.Key, body)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			named[key] = true
		}
	}
	var litter []Litter
	for _, o := range b.objects {
		own := isPlaylist(o.Key) || object.KindOf(o.Key) == object.Run
		if !own && !named[o.Key] && now.Sub(o.Modified) > grace {
			litter = append(litter, Litter{o, Orphan})
		}
	}
	return litter, nil
}

func isPlaylist(key string) bool { return object.KindOf(key) == object.Playlist }

// References returns the keys of the objects that a playlist under key names. A URI that is
// not relative, or leads out of the store, is an error: it may mean anything.
func References(key string, playlist []byte) ([]string, error) {
	var keys []string
	for uri := range hls.URIs(playlist) {
		u, err := url.Parse(uri)
		if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(u.Path, "/") {
			return nil, fmt.Errorf("playlist %s: URI %q is not relative", key, uri)
		}
		named := path.Join(path.Dir(key), u.Path)
		if err := CheckKey(named); err != nil {
			return nil, fmt.Errorf("playlist %s: URI %q: %w", key, uri, err)
		}
		keys = append(keys, named)
	}
	return keys, nil
}
