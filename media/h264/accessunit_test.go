package h264_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/media/h264"
)

func newAssembler(t interface{ Fatal(...any) }, record []byte) *h264.Assembler {
	a := new(h264.Assembler)
	if record != nil {
		c, err := h264.ReadConfig(record)
		if err != nil {
			t.Fatal(err)
		}
		a.Configure(c)
	}
	return a
}

// types writes an access unit as its NAL unit types.
func types(p h264.Part) (out []h264.Type) {
	for _, nal := range unitsOf(p.Data) {
		out = append(out, h264.TypeOf(nal))
	}
	return out
}

func TestAssembler(t *testing.T) {
	c := newCoder()
	sps, pps, record := c.sps.encode(), c.pps(), c.record(4)
	sei, aud := []byte{0x06, 0x05, 1, 7, 0x80}, []byte{0x09, 0xf0}
	pictures := [][][]byte{c.picture(true, typeI, 3), c.picture(false, typeP, 3), c.picture(false, typeP, 3)}
	var slicesOf []h264.Type
	for range 3 {
		slicesOf = append(slicesOf, h264.IDR)
	}
	idr := func(lead ...h264.Type) []h264.Type { return append(lead, slicesOf...) }
	inter := func(lead ...h264.Type) []h264.Type { return append(lead, h264.Slice, h264.Slice, h264.Slice) }
	each := func(groups ...[][]byte) (messages [][]byte) { // a message for each unit
		for _, g := range groups {
			for _, nal := range g {
				messages = append(messages, message(4, nal))
			}
		}
		return messages
	}
	lead := func(units ...[]byte) [][]byte { return units }
	for _, tt := range []struct {
		name, why string
		messages  [][]byte
		begins    []int
		want      [][]h264.Type
	}{
		{
			name: "an access unit a message", why: "as FLV means it",
			messages: [][]byte{message(4, pictures[0]...), message(4, pictures[1]...), message(4, pictures[2]...)},
			want:     [][]h264.Type{idr(), inter(), inter()},
		}, {
			name: "a message for each slice", why: "first_mb_in_slice tells where a picture begins",
			messages: each(pictures...),
			want:     [][]h264.Type{idr(), inter(), inter()},
		}, {
			name: "a batch ends inside a picture", why: "the picture goes on in the next one",
			messages: each(pictures...), begins: []int{1, 5, 7},
			want: [][]h264.Type{{h264.IDR}, {}, {}, inter(), inter()}, // the first: nobody could know
		}, {
			name: "a message for each unit", why: "parameter sets and the like lead up to the next picture",
			messages: each(lead(aud, sps, pps, sei), pictures[0], lead(aud, sei), pictures[1]), begins: []int{6, 8},
			want: [][]h264.Type{idr(h264.Delimiter, h264.SequenceParams, h264.PictureParams, h264.SEI), inter(h264.Delimiter, h264.SEI)},
		}, {
			name: "all pictures in one message", why: "each is an access unit, with what leads up to it",
			messages: [][]byte{message(4, slices.Concat(lead(sps, pps), pictures[0], lead(aud, sei), pictures[1], pictures[2])...)},
			want:     [][]h264.Type{idr(h264.SequenceParams, h264.PictureParams), inter(h264.Delimiter, h264.SEI), inter()},
		}, {
			name: "messages cut through pictures anywhere", why: "neither messages nor timestamps say where a picture ends",
			messages: [][]byte{message(4, pictures[0][:2]...), message(4, pictures[0][2], pictures[1][0]), message(4, slices.Concat(pictures[1][1:], pictures[2])...)},
			want:     [][]h264.Type{idr(), inter(), inter()},
		}, {
			name: "units behind the last slice", why: "where a message is an access unit they are its own",
			messages: [][]byte{message(4, slices.Concat(pictures[0], lead(sei))...), message(4, pictures[1]...)},
			want:     [][]h264.Type{append(idr(), h264.SEI), inter()},
		}, {
			name: "the same header twice", why: "two pictures, though nothing but first_mb_in_slice tells them apart",
			messages: [][]byte{message(4, pictures[0]...), message(4, pictures[0]...)},
			want:     [][]h264.Type{idr(), idr()},
		}, {
			name: "the rest of a picture", why: "its beginning is not at hand",
			messages: each(pictures[0][1:], pictures[1]),
			want:     [][]h264.Type{{h264.IDR}, {}, inter()},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, damaged := assemble(newAssembler(t, record), tt.messages, tt.begins...)
			var gotTypes [][]h264.Type
			for _, p := range got {
				gotTypes = append(gotTypes, types(p))
			}
			if damaged > 0 || !slices.EqualFunc(gotTypes, tt.want, slices.Equal) {
				t.Errorf("access units %v, %d messages damaged; want %v: %s", gotTypes, damaged, tt.want, tt.why)
			}
		})
	}
}

// Fields of one frame are one sample in a container, where they come in one
// message.
func TestAssemblerFields(t *testing.T) {
	c := newCoder()
	c.sps.frameMbsOnly = 0
	frame := func(idr bool) [][]byte {
		c.picture(idr, typeI, 0) // counts up
		top := c.slice(idr, typeI, 0, 0)
		return [][]byte{top, c.slice(false, typeP, 0, 1)}
	}
	a, b := frame(true), frame(false)
	got, _ := assemble(newAssembler(t, c.record(4)), [][]byte{message(4, slices.Concat(a, b)...)})
	if len(got) != 2 || len(unitsOf(got[0].Data)) != 2 || !got[0].IDR || got[1].IDR {
		t.Errorf("%d access units of two frames in fields: %+v", len(got), got)
	}
}

func TestAssemblerRandomAccess(t *testing.T) {
	for _, tt := range []struct {
		name    string
		units   func(c *coder) [][]byte
		flagged bool
		want    bool
	}{
		{"an IDR picture that is not flagged", func(c *coder) [][]byte { return c.picture(true, typeI, 1) }, false, true},
		{"a recovery point that is not flagged", func(c *coder) [][]byte { return append([][]byte{recovery()}, c.picture(false, typeP, 1)...) }, false, true},
		{"an intra picture that is flagged", func(c *coder) [][]byte { return c.picture(false, typeI, 2) }, true, true},
		{"an intra picture that is not", func(c *coder) [][]byte { return c.picture(false, typeI, 2) }, false, false},
		{"an inter picture that is flagged", func(c *coder) [][]byte { return c.picture(false, typeP, 2) }, true, false},
		{"a flagged picture with one inter slice", func(c *coder) [][]byte {
			return append(c.picture(false, typeI, 2)[:1], c.slice(false, typeP, 120, -1))
		}, true, false},
	} {
		c := newCoder()
		p := message(4, tt.units(c)...)
		got, _ := newAssembler(t, c.record(4)).Add(nil, p)
		if len(got) != 1 || got[0].RandomAccess(tt.flagged) != tt.want {
			t.Errorf("%s: %+v, want random access %v", tt.name, got, tt.want)
		}
		if c := h264.Look(p, 4); c.RandomAccess(tt.flagged) != tt.want && tt.name != "a flagged picture with one inter slice" {
			t.Errorf("%s: a glance says %+v", tt.name, c)
		}
	}
}

// Parameter sets in force are those seen last, in the record or in band.
func TestParameterSetsInForce(t *testing.T) {
	c := newCoder()
	record, small := c.record(4), c.sps.encode()
	a := newAssembler(t, record)
	first := a.Config()
	add := func(units ...[]byte) h264.Part {
		t.Helper()
		parts, whole := a.Add(nil, message(4, units...))
		if len(parts) != 1 || !whole {
			t.Fatalf("%d access units, whole %v", len(parts), whole)
		}
		return parts[0]
	}
	if p := add(append([][]byte{small, c.pps()}, c.picture(true, typeI, 1)...)...); p.Config != first {
		t.Error("sets that say the same are in force already")
	}
	c.sps.widthMbs = 40
	wide := c.sps.encode()
	p := add(append([][]byte{wide, c.pps()}, c.picture(true, typeI, 1)...)...)
	if s, err := p.Config.Active(); err != nil || s.Width != 640 {
		t.Errorf("another SPS came in band: %+v, %v; want 640 pixels", s, err)
	}
	if first.Compatible(p.Config) {
		t.Error("a decoder goes on with pictures of another size")
	}
	if s, _ := first.Active(); s.Width != 320 {
		t.Error("a Config that was given out has changed")
	}
	in := p.Config
	if p = add(c.picture(false, typeP, 1)...); p.Config != in {
		t.Error("sets in band hold until others come")
	}
	// An SPS under another id, and pictures that use it.
	c.sps.id, c.sps.widthMbs = 1, 30
	other := c.sps.encode()
	var w bitString
	w.ue(0)
	w.ue(1) // seq_parameter_set_id
	w.u(2, 0)
	pps := w.nal()
	pps[0] = 0x68
	p = add(append([][]byte{other, pps}, c.picture(true, typeI, 1)...)...)
	if s, err := p.Config.Active(); err != nil || s.Width != 480 || len(p.Config.SPS) != 2 {
		t.Errorf("the pictures use another SPS: %+v, %v; want the one of 480 pixels in front", s, err)
	}
	again, err := h264.ReadConfig(record)
	if err != nil {
		t.Fatal(err)
	}
	a.Configure(again)
	if s, _ := a.Config().Active(); s.Width != 320 || len(a.Config().SPS) != 1 {
		t.Error("a record puts its own sets in force, and no others")
	}
}

// A record is read as a decoder would; what it says counts, not how.
func TestReadConfig(t *testing.T) {
	c := newCoder()
	sps, pps, record := c.sps.encode(), c.pps(), c.record(4)
	want, err := h264.ParseConfig(record)
	if err != nil {
		t.Fatal(err)
	}
	coded := func(nal []byte) []byte { return append([]byte{0, 0, 0, 1}, nal...) }
	loose := h264.Config{Profile: 77, Level: 31, LengthSize: 4, SPS: [][]byte{coded(sps)}, PPS: [][]byte{coded(pps)}}
	joined := h264.Config{Profile: 77, Level: 31, LengthSize: 4, SPS: [][]byte{append(slices.Clone(sps), coded(pps)...)}}
	threes := bytes.Clone(record)
	threes[4] = 0xfe
	for name, in := range map[string][]byte{
		"as it should be":          record,
		"bytes behind it":          append(slices.Clone(record), 0, 0, 7),
		"sets behind start codes":  loose.Append(nil),
		"a PPS in the SPS's place": joined.Append(nil),
		"a byte stream":            message(0, sps, pps),
		"lengths of 3 bytes":       threes,
		"zeros behind the SPS":     (&h264.Config{Profile: 77, Level: 31, LengthSize: 4, SPS: [][]byte{append(slices.Clone(sps), 0, 0)}, PPS: [][]byte{pps}}).Append(nil),
	} {
		got, err := h264.ReadConfig(in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.EqualFunc(got.SPS, want.SPS, bytes.Equal) || !slices.EqualFunc(got.PPS, want.PPS, bytes.Equal) || !got.Compatible(&want) {
			t.Errorf("%s: %+v, want the sets of %+v", name, got, want)
		}
	}
	if got, err := h264.ReadConfig(record[:len(record)-2]); err != nil || len(got.SPS) != 1 {
		t.Errorf("cut in its PPS: %+v, %v; want the SPS", got, err)
	}
	for name, in := range map[string][]byte{"nothing": nil, "noise": unhex("deadbeefdeadbeef"), "cut in its SPS": record[:12]} {
		if got, err := h264.ReadConfig(in); err == nil {
			t.Errorf("%s: %+v, want an error", name, got)
		}
	}
}

// Whatever cuts a sender makes between units, the access units are the same,
// and so are the units in each.
func TestAssemblerAnyMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCoder()
		var pictures [][][]byte
		var units [][]byte
		for n := range rapid.IntRange(1, 12).Draw(t, "pictures") {
			idr := n == 0 || rapid.IntRange(0, 4).Draw(t, "idr") == 0
			var p [][]byte
			if idr {
				p = append(p, c.sps.encode(), c.pps())
			} else if rapid.Bool().Draw(t, "sei") {
				p = append(p, []byte{0x06, 0x05, 1, byte(n), 0x80})
			}
			p = append(p, c.picture(idr, typeP, rapid.IntRange(1, 4).Draw(t, "slices"))...)
			pictures, units = append(pictures, p), append(units, p...)
		}
		declared := rapid.SampledFrom([]int{4, 2}).Draw(t, "declared")
		size := rapid.SampledFrom([]int{declared, 0}).Draw(t, "size")
		var messages [][]byte
		var begins []int
		// The first message brings a slice more, so that the Assembler knows
		// that pictures are split before a batch ends inside one.
		messages = append(messages, message(size, units[:3]...))
		for rest := units[3:]; len(rest) > 0; {
			n := rapid.IntRange(1, min(5, len(rest))).Draw(t, "units")
			if rapid.IntRange(0, 3).Draw(t, "begin") == 0 {
				begins = append(begins, len(messages))
			}
			messages, rest = append(messages, message(size, rest[:n]...)), rest[n:]
		}
		a := newAssembler(t, c.record(declared))
		a.Resume(a.Config(), declared, true)
		got, damaged := assemble(a, messages, begins...)
		if damaged > 0 || len(got) != len(pictures) {
			t.Fatalf("%d access units for %d pictures, %d messages damaged", len(got), len(pictures), damaged)
		}
		for i, p := range pictures {
			if !slices.EqualFunc(unitsOf(got[i].Data), p, bytes.Equal) {
				t.Fatalf("access unit %d holds %v, want %d units", i, types(got[i]), len(p))
			}
		}
	})
}

// A message that is one access unit is handed on where it lies.
func TestAssemblerCopiesNothing(t *testing.T) {
	c := newCoder()
	a := newAssembler(t, c.record(4))
	p := append(message(4, c.picture(true, typeI, 4)...), 0, 0)
	var parts []h264.Part
	allocs := testing.AllocsPerRun(100, func() {
		a.Begin()
		parts, _ = a.Add(parts[:0], p)
	})
	if allocs > 0 || len(parts) != 1 || &parts[0].Data[0] != &p[0] || len(parts[0].Data) != len(p)-2 {
		t.Errorf("%v allocations, %d access units; want the message itself, without its zeros", allocs, len(parts))
	}
	if n := testing.AllocsPerRun(100, func() { h264.Look(p, 4) }); n > 0 {
		t.Errorf("a glance allocates %v times", n)
	}
}

func FuzzAssembler(f *testing.F) {
	c := newCoder()
	for _, size := range []int{4, 0} {
		var seed []byte
		for _, nal := range slices.Concat([][]byte{c.sps.encode(), c.pps(), recovery()}, c.picture(true, typeI, 2), c.picture(false, typeP, 2)) {
			p := message(size, nal)
			seed = append(append(seed, byte(len(p)>>8), byte(len(p))), p...)
		}
		f.Add(c.record(4), seed)
	}
	f.Fuzz(func(t *testing.T, record, stream []byte) {
		a := new(h264.Assembler)
		if c, err := h264.ReadConfig(record); err == nil {
			a.Configure(c)
		}
		for len(stream) >= 2 {
			n := min(int(stream[0]&3)<<8|int(stream[1]), len(stream)-2)
			if stream[0]&0x40 != 0 {
				a.Begin()
			}
			if stream[0]&0x80 != 0 {
				a.Cut()
			}
			parts, _ := a.Add(nil, stream[2:2+n])
			stream = stream[2+n:]
			for i, p := range parts {
				if p.Config == nil || p.Continues && i > 0 {
					t.Fatalf("part %d: %+v", i, p)
				}
				for _, nal := range unitsOf(p.Data) {
					if string(nal) == "damaged" {
						t.Fatalf("part %d is no run of units: %x", i, p.Data)
					}
				}
			}
		}
	})
}
