package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"

	"weir/hls"
	"weir/media/object"
)

// Rendition is a rendition of a broadcast, as its objects' keys name it.
type Rendition struct {
	Stream, Broadcast, Name string
	// Newest: the store has no later broadcast of the stream.
	Newest bool
}

// Unended yields the renditions below a prefix whose live playlist has no end:
// somebody goes on with them, or all have forgotten them. An error ends it.
func Unended(ctx context.Context, s Store, prefix string) iter.Seq2[Rendition, error] {
	return func(yield func(Rendition, error) bool) {
		var waiting []Rendition // of the newest broadcast of a stream, so far
		flush := func(newest bool) bool {
			for _, r := range waiting {
				if r.Newest = newest; !yield(r, nil) {
					return false
				}
			}
			waiting = waiting[:0]
			return true
		}
		for info, err := range s.List(ctx, prefix) {
			if err != nil {
				yield(Rendition{}, fmt.Errorf("find what has no end: %w", err))
				return
			}
			stream, broadcast, rest, ok := object.SplitKey(info.Key)
			if !ok {
				continue
			}
			if n := len(waiting); n > 0 && (waiting[n-1].Stream != stream || waiting[n-1].Broadcast != broadcast) && !flush(waiting[n-1].Stream != stream) {
				return
			}
			if path.Base(rest) != object.LivePlaylist {
				continue
			}
			body, _, err := s.Get(ctx, info.Key)
			if errors.Is(err, object.ErrNotExist) {
				continue // it has gone meanwhile
			}
			if err != nil {
				yield(Rendition{}, fmt.Errorf("find what has no end: %w", err))
				return
			}
			if hls.ReadHead(body).Ended {
				continue
			}
			waiting = append(waiting, Rendition{Stream: stream, Broadcast: broadcast, Name: path.Dir(rest)})
		}
		flush(true)
	}
}
