package hls

import (
	"encoding/json"
	"fmt"

	"weir/media"
	"weir/media/h264"
	"weir/remux/mpegts"
)

// stateV1 is the form of State's version 1: MPEG-TS only, H.264 and AAC only.
// A broadcast that a release of that version began stays in it to its end, so
// that workers of that release can take it back: an upgrade is one worker after
// the other, and may be called off.
type stateV1 struct {
	*State
	Continuity mpegts.Continuity `json:"continuity"`
	AVC        []byte            `json:"avc,omitempty"`
	AAC        []byte            `json:"aac,omitempty"`
}

func parseV1(blob []byte) (State, error) {
	v := stateV1{State: new(State)}
	if err := json.Unmarshal(blob, &v); err != nil {
		return State{}, err
	}
	s := v.State
	carry, err := json.Marshal(v.Continuity)
	if err != nil {
		return State{}, fmt.Errorf("continuity: %w", err)
	}
	s.Format, s.Carry, s.Tracks = TS.Name(), carry, nil
	if len(v.AVC) > 0 {
		s.Tracks = append(s.Tracks, track{Codec: media.CodecAVC, Record: v.AVC})
	}
	if len(v.AAC) > 0 {
		s.Tracks = append(s.Tracks, track{Codec: media.CodecAAC, Record: v.AAC})
	}
	return *s, nil
}

func toV1(s *State) stateV1 {
	c := *s
	c.Format, c.Carry, c.Tracks = "", nil, nil
	v := stateV1{State: &c}
	var err error
	if v.Continuity, err = parseContinuity(s.Carry); err != nil {
		panic(err) // a State holds what its format made, or what check let in
	}
	for _, k := range s.Tracks {
		if k.Unfit {
			continue // that release would lose the other track, too
		}
		switch k.Codec {
		case media.CodecAVC:
			v.AVC = k.avcC()
		case media.CodecAAC:
			v.AAC = k.Record
		}
	}
	return v
}

// avcC is a track's record as a release of version 1 reads it: strictly.
func (k track) avcC() []byte {
	if _, err := h264.ParseConfig(k.Record); err == nil {
		return k.Record
	}
	c, err := h264.ReadConfig(k.Record)
	if err != nil {
		return nil
	}
	return c.Append(nil)
}
