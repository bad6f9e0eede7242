package segmenter

import (
	"context"
	"errors"

	"weir/hls"
	"weir/media/object"
)

// adopt takes up what the store lists beyond the State that was claimed. There
// is none, unless NATS has lost or forgotten what was saved: then the store
// knows better, and nobody writes a playlist that ends before the one there is.
// Nothing is listed meanwhile: a claimed State that contradicts the store would
// end the life that is to put that right, and so each one after it.
func (p *packager) adopt(ctx context.Context) error {
	key := p.key(object.LivePlaylist)
	body, etag, err := p.find(ctx, key)
	if err != nil || etag == "" {
		return err
	}
	p.lists.set(key, seen(playlist{key: key, body: body}.read(), etag))
	live, err := hls.ParseList(body)
	if err != nil {
		p.log.Error("a playlist in the store is not taken up", "key", key, "err", err)
		return nil
	}
	if !p.state.Beyond(&live) {
		return nil
	}
	stored := hls.Stored{Live: live}
	if body, _, err = p.find(ctx, p.key(object.VODPlaylist)); err != nil {
		return err
	}
	if vod, err := hls.ParseList(body); err == nil {
		stored.VOD = vod
	}
	if stored.Multivariant, _, err = p.find(ctx, p.own().Index()); err != nil {
		return err
	}
	p.log.Error("the store has other, or more, of the broadcast than its saved state: what is listed is taken up",
		"saved", p.state.Next(), "listed", live.Next(), "ended", live.Ended)
	p.adopted = true
	cut := p.cutter.Adopt(stored)
	if cut == nil {
		return nil
	}
	p.claimed = nil // it is not what was seen
	// It is a decision: nothing is cut behind it before it is saved.
	if err := p.putRuns(ctx, cut); err != nil {
		return err
	}
	if err := p.save(ctx, cut.State); err != nil {
		return err
	}
	p.state = cut.State
	if cut.State.Phase == hls.Ending {
		return errEnding
	}
	return send(ctx, p.saved, &pendingCut{cut: cut})
}

// find reads an object. Its ETag is empty where there is none.
func (p *packager) find(ctx context.Context, key string) (body []byte, etag string, err error) {
	body, info, err := p.worker.Store.Get(ctx, key)
	if errors.Is(err, object.ErrNotExist) {
		return nil, "", nil
	}
	return body, info.ETag, err
}
