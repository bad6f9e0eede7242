package h264

import (
	"bytes"
	"fmt"
	"slices"
)

// maxSets is how many bytes of parameter sets may be in force: many times what
// encoders send.
const maxSets = 4 << 10

// ReadConfig reads a sequence header as a decoder would: an avcC record, one
// whose parameter sets stand behind start codes or under the wrong count, one
// that is cut short behind its first SPS, or a byte stream of parameter sets
// in its place. The Config keeps no part of p. Where not one SPS can be read
// of what is no sound record, the error is ParseConfig's.
func ReadConfig(p []byte) (Config, error) {
	p = bytes.Clone(p)
	c, err := ParseConfig(p)
	if err != nil {
		c = looseConfig(p)
		if len(c.SPS) == 0 {
			return Config{}, err
		}
	}
	c.sort()
	return c, nil
}

// looseConfig reads what can be read of a record.
func looseConfig(p []byte) Config {
	if startsWithCode(p) {
		c := Config{LengthSize: 4}
		for nal := range AnnexB(p) {
			c.file(nal)
		}
		c.head()
		return c
	}
	if len(p) < 6 {
		return Config{}
	}
	c := Config{Profile: p[1], Constraints: p[2], Level: p[3], LengthSize: int(p[4]&3) + 1}
	n := int(p[5] & 0x1f)
	p = p[6:]
	for list := range 2 {
		for range n {
			nal, size, err := NextUnit(p, 2)
			if err != nil {
				return c
			}
			c.file(nal)
			p = p[size:]
		}
		if list > 0 || len(p) == 0 {
			return c
		}
		n, p = int(p[0]), p[1:]
	}
	return c
}

// sort files every parameter set under its own type: those that stand behind
// a start code in another one's place, too.
func (c *Config) sort() {
	lists := [...][][]byte{c.SPS, c.PPS, c.SPSExt}
	c.SPS, c.PPS, c.SPSExt = nil, nil, nil
	for _, list := range lists {
		for _, nal := range list {
			c.file(nal)
		}
	}
}

// file puts the parameter sets that a unit holds into their lists.
func (c *Config) file(nal []byte) {
	for _, nal := range splitInside(nil, nal) {
		nal = trimZeros(nal)
		switch TypeOf(nal) {
		case SequenceParams:
			if len(nal) >= 4 {
				c.SPS = append(c.SPS, nal)
			}
		case PictureParams:
			c.PPS = append(c.PPS, nal)
		case SPSExtension:
			c.SPSExt = append(c.SPSExt, nal)
		}
	}
}

// head fills a record's own fields from its first SPS.
func (c *Config) head() {
	if len(c.SPS) == 0 {
		return
	}
	nal := c.SPS[0]
	c.Profile, c.Constraints, c.Level = nal[1], nal[2], nal[3]
	c.High = highProfile(c.Profile)
	if sps, err := ParseSPS(nal); err == nil {
		c.ChromaFormat, c.LumaDepth, c.ChromaDepth = sps.ChromaFormat, sps.LumaDepth, sps.ChromaDepth
	} else {
		c.ChromaFormat, c.LumaDepth, c.ChromaDepth = 1, 8, 8
	}
}

// Active is the first SPS that can be read: the one in use, where Sets made
// the Config.
func (c *Config) Active() (SPS, error) {
	for _, nal := range c.SPS {
		if sps, err := ParseSPS(nal); err == nil {
			return sps, nil
		}
	}
	return SPS{}, fmt.Errorf("%w: no sequence parameter set", ErrMalformed)
}

// Compatible tells whether a decoder that was set up by c goes on with d as it
// is. It compares what the SPS in use say (SPS.Compatible), not how records
// write it down; pictures bring their PPS along.
func (c *Config) Compatible(d *Config) bool {
	a, errA := c.Active()
	b, errB := d.Active()
	if errA != nil || errB != nil {
		return (errA == nil) == (errB == nil) && c.Profile == d.Profile && c.Level == d.Level && slices.EqualFunc(c.SPS, d.SPS, bytes.Equal)
	}
	return a.Compatible(b)
}

// Same tells whether the two are the same to the byte.
func (c *Config) Same(d *Config) bool { return bytes.Equal(c.Append(nil), d.Append(nil)) }

// sets are the parameter sets in force, by id.
type sets struct {
	config Config
	sps    [32]*SPS
	pps    map[uint8]PPS
}

// of returns the sets that a slice header's pic_parameter_set_id leads to.
func (s *sets) of(id uint32) (*SPS, PPS, bool) {
	if id > 255 {
		return nil, PPS{}, false
	}
	pps, ok := s.pps[uint8(id)]
	if !ok || s.sps[pps.SPS] == nil {
		return nil, PPS{}, false
	}
	return s.sps[pps.SPS], pps, true
}

// newSets returns the sets of a Config. One without any goes on with those of
// before: they come in band.
func newSets(c Config, before *sets) *sets {
	if len(c.SPS) == 0 && len(c.PPS) == 0 && before != nil {
		c.SPS, c.PPS, c.SPSExt = before.config.SPS, before.config.PPS, before.config.SPSExt
	}
	s := &sets{config: c, pps: make(map[uint8]PPS)}
	for _, nal := range c.SPS {
		if sps, err := ParseSPS(nal); err == nil {
			s.sps[sps.ID] = &sps
		}
	}
	for _, nal := range c.PPS {
		if pps, ok := ParsePPS(nal); ok {
			s.pps[pps.ID] = pps
		}
	}
	return s
}

// has tells whether a parameter set is in force as it is.
func (s *sets) has(nal []byte) bool {
	nal = trimZeros(nal)
	var list [][]byte
	switch TypeOf(nal) {
	case SequenceParams:
		list = s.config.SPS
	case PictureParams:
		list = s.config.PPS
	case SPSExtension:
		list = s.config.SPSExt
	}
	for _, k := range list {
		if bytes.Equal(k, nal) {
			return true
		}
	}
	return false
}

// with returns the sets with one more in force, in place of the one of its
// type and id: s itself where it is unfit, or too much.
func (s *sets) with(nal []byte) *sets {
	nal = bytes.Clone(trimZeros(nal))
	c := s.config
	switch TypeOf(nal) {
	case SequenceParams:
		sps, err := ParseSPS(nal)
		if err != nil {
			return s
		}
		c.SPS = replaced(c.SPS, nal, func(k []byte) bool {
			old, err := ParseSPS(k)
			return err != nil || old.ID == sps.ID
		})
	case PictureParams:
		pps, ok := ParsePPS(nal)
		if !ok {
			return s
		}
		c.PPS = replaced(c.PPS, nal, func(k []byte) bool {
			old, ok := ParsePPS(k)
			return !ok || old.ID == pps.ID
		})
	case SPSExtension:
		c.SPSExt = replaced(c.SPSExt, nal, func([]byte) bool { return true })
	default:
		return s
	}
	if len(c.Append(nil)) > maxSets || len(c.SPS) > 31 || len(c.PPS) > 255 {
		return s
	}
	c.head()
	return newSets(c, nil)
}

// replaced returns list with nal in the place of the first one that it
// replaces, or behind the last.
func replaced(list [][]byte, nal []byte, replaces func([]byte) bool) [][]byte {
	list = slices.Clone(list)
	if i := slices.IndexFunc(list, replaces); i >= 0 {
		list[i] = nal
		return list
	}
	return append(list, nal)
}

// using returns the sets with the SPS that a picture uses in front, where
// Active finds it.
func (s *sets) using(id uint32) *sets {
	sps, _, ok := s.of(id)
	if !ok {
		return s
	}
	c := s.config
	i := slices.IndexFunc(c.SPS, func(nal []byte) bool {
		k, err := ParseSPS(nal)
		return err == nil && k.ID == sps.ID
	})
	if i <= 0 {
		return s
	}
	nal := c.SPS[i]
	c.SPS = slices.Insert(slices.Delete(slices.Clone(c.SPS), i, i+1), 0, nal)
	c.head()
	return newSets(c, nil)
}
