package hls

import (
	"bytes"
	"slices"

	"weir/media"
)

// keptSound is a sound that waits for the segment that is to begin with it.
type keptSound struct {
	PTS  int64  `json:"pts"`
	Data []byte `json:"data"`
}

// How much sound is kept back where it is sent ahead of its pictures, in frames
// and in bytes: what the last segments need whose own was sent long before.
// A larger frame than keptFrame is none that a decoder takes (ISO/IEC 13818-7,
// 6.2: aac_frame_length has 13 bits), and is not kept: States stay small.
const (
	keptSounds = 4
	keptBytes  = 8 << 10
	keptFrame  = 1<<13 - 1
)

// writeSound writes a sound of a show of which every segment holds every track.
// Where sound is sent seconds ahead of its pictures, and ends, pictures go on that
// it was sent for: the last few frames are kept for their segments. They are
// early there all the same.
func (c *Cutter) writeSound(f *media.Frame, ahead bool) {
	if !ahead || len(f.Data) > keptFrame {
		c.giveKept(0)
		c.write(f)
		return
	}
	p := &c.pauses
	p.Kept = append(slices.Clip(p.Kept), keptSound{f.PTS, bytes.Clone(f.Data)}) // a State may hold the slice
	size := 0
	for _, k := range p.Kept {
		size += len(k.Data)
	}
	if len(p.Kept) > keptSounds || size > keptBytes {
		c.giveKept(len(p.Kept) - 1)
	}
}

// giveKept writes the first of what is kept, so that left are left.
func (c *Cutter) giveKept(left int) {
	p := &c.pauses
	for len(p.Kept) > left {
		k := p.Kept[0]
		if p.Kept = p.Kept[1:]; len(p.Kept) == 0 {
			p.Kept = nil
		}
		if c.open.started {
			c.write(&media.Frame{Kind: media.Audio, DTS: k.PTS, PTS: k.PTS, Data: k.Data})
		} else {
			c.drops.Count(media.DropUnfit)
		}
	}
}
