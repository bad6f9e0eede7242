package hls

import (
	"encoding/json"
	"errors"
	"fmt"

	"weir/media"
	"weir/remux/mpegts"
)

// ts makes MPEG-TS segments (RFC 8216, 3.2).
type ts struct{}

func (ts) Name() string      { return "ts" }
func (ts) Extension() string { return ".ts" }

func (ts) Check(carry json.RawMessage) error {
	_, err := parseContinuity(carry)
	return err
}

// ts1 is what a release of MuxerVersion 1 made: it knows of no MP3.
type ts1 struct{ ts }

func (f ts1) Fits(c media.Codec) error {
	if c.ID() == media.CodecMP3 {
		return errors.New("MP3 in a broadcast that another release began")
	}
	return f.ts.Fits(c)
}

func (ts) Fits(c media.Codec) error {
	switch c := c.(type) {
	case *media.AAC:
		return c.Config.CheckADTS()
	}
	return nil
}

// parseContinuity reads what a segment takes over from the one before it.
func parseContinuity(carry json.RawMessage) (next mpegts.Continuity, err error) {
	if carry == nil {
		return next, nil
	}
	if err := json.Unmarshal(carry, &next); err != nil {
		return next, fmt.Errorf("MPEG-TS continuity: %w", err)
	}
	if next.PAT|next.PMT|next.Video|next.Audio > 0x0f {
		return next, errors.New("MPEG-TS continuity: a counter above 15")
	}
	return next, nil
}

func (ts) NewWriter(t Tracks, carry json.RawMessage) (Writer, error) {
	next, err := parseContinuity(carry)
	if err != nil {
		return nil, err
	}
	var cfg mpegts.Config
	if c, ok := t.Video.(*media.AVC); ok {
		cfg.Video = &c.Config
	}
	switch c := t.Audio.(type) {
	case *media.AAC:
		cfg.AAC = &c.Config
	case *media.MP3:
		cfg.MP3 = &c.Config
	}
	m, err := mpegts.NewMuxer(cfg, next)
	if err != nil {
		return nil, err
	}
	return tsWriter{m}, nil
}

type tsWriter struct{ *mpegts.Muxer }

func (w tsWriter) Begin(dst []byte) []byte { return w.AppendTables(dst) }

func (w tsWriter) Carry() json.RawMessage {
	b, err := json.Marshal(w.Continuity())
	if err != nil {
		panic(err) // numbers only
	}
	return b
}
