package amf

import (
	"encoding/binary"
	"math"
)

// Decode decodes the value that p begins with and tells how many bytes it
// took. Errors are of type *Error.
func Decode(p []byte) (Value, int, error) {
	d := decoder{p: p}
	v, err := d.value()
	if err != nil {
		return nil, 0, err
	}
	return v, d.off, nil
}

// DecodeAll decodes values until p ends. With an error, of type *Error, it
// also returns the values before it.
func DecodeAll(p []byte) ([]Value, error) {
	d := decoder{p: p}
	var vs []Value
	for d.off < len(d.p) {
		v, err := d.value()
		if err != nil {
			return vs, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// decoder walks over one message.
type decoder struct {
	p     []byte
	off   int
	depth int
	// deepest is how deep it has been since the value began that may be referred
	// to, see referred.
	deepest int
	amf3    references
}

// take returns the next n bytes. n is 32 bits on the wire, so it cannot wrap.
func (d *decoder) take(n int, section string) ([]byte, error) {
	if n < 0 || n > len(d.p)-d.off {
		return nil, d.short(section)
	}
	b := d.p[d.off : d.off+n]
	d.off += n
	return b, nil
}

func (d *decoder) uint8(section string) (uint8, error) {
	b, err := d.take(1, section)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (d *decoder) uint16(section string) (uint16, error) {
	b, err := d.take(2, section)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

func (d *decoder) uint32(section string) (uint32, error) {
	b, err := d.take(4, section)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (d *decoder) double(section string) (float64, error) {
	b, err := d.take(8, section)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

// utf8 reads a string behind a 16-bit length [AMF0 1.3.1].
func (d *decoder) utf8(section string) (string, error) {
	n, err := d.uint16(section)
	if err != nil {
		return "", err
	}
	b, err := d.take(int(n), section)
	return string(b), err
}

// utf8Long reads a string behind a 32-bit length [AMF0 1.3.2].
func (d *decoder) utf8Long(section string) (string, error) {
	n, err := d.uint32(section)
	if err != nil {
		return "", err
	}
	if uint64(n) > uint64(len(d.p)) {
		return "", d.short(section)
	}
	b, err := d.take(int(n), section)
	return string(b), err
}

// enter bounds the nesting, so that the stack is bounded too.
func (d *decoder) enter(section string) error {
	if d.depth == MaxDepth {
		return d.fail("objects and arrays are nested too deep", section)
	}
	d.depth++
	d.deepest = max(d.deepest, d.depth)
	return nil
}

func (d *decoder) leave() { d.depth-- }

func (d *decoder) value() (Value, error) {
	marker, err := d.uint8("AMF0 2.1")
	if err != nil {
		return nil, err
	}
	switch marker {
	case markerNumber:
		n, err := d.double("AMF0 2.2")
		return Number(n), err
	case markerBoolean:
		b, err := d.uint8("AMF0 2.3")
		return Boolean(b != 0), err
	case markerString:
		s, err := d.utf8("AMF0 2.4")
		return String(s), err
	case markerNull:
		return Null{}, nil
	case markerUndefined:
		return Undefined{}, nil
	case markerReference:
		i, err := d.uint16("AMF0 2.9")
		return Reference(i), err
	case markerLongString:
		s, err := d.utf8Long("AMF0 2.14")
		return String(s), err
	case markerUnsupported:
		return Unsupported{}, nil
	case markerXML:
		s, err := d.utf8Long("AMF0 2.17")
		return XML(s), err
	}
	return d.composite(marker)
}

func (d *decoder) composite(marker uint8) (Value, error) {
	switch marker {
	case markerObject:
		ps, err := d.properties("AMF0 2.5")
		return Object(ps), err
	case markerECMAArray:
		// The count is a hint that encoders get wrong: read up to the object's
		// end [AMF0 2.10].
		if _, err := d.uint32("AMF0 2.10"); err != nil {
			return nil, err
		}
		ps, err := d.properties("AMF0 2.10")
		return ECMAArray(ps), err
	case markerStrictArray:
		return d.strictArray()
	case markerDate:
		ms, err := d.double("AMF0 2.13")
		if err != nil {
			return nil, err
		}
		zone, err := d.uint16("AMF0 2.13")
		return Date{Milliseconds: ms, Zone: int16(zone)}, err
	case markerTypedObject:
		class, err := d.utf8("AMF0 2.18")
		if err != nil {
			return nil, err
		}
		ps, err := d.properties("AMF0 2.18")
		return TypedObject{Class: class, Properties: ps}, err
	case markerAMF3:
		return d.amf3Value()
	}
	d.off--
	return nil, d.fail("the marker is not one of a value", "AMF0 2.1")
}

// properties reads named values until an empty name is followed by the object
// end marker [AMF0 2.11].
func (d *decoder) properties(section string) (Properties, error) {
	if err := d.enter(section); err != nil {
		return nil, err
	}
	defer d.leave()
	var ps Properties
	for {
		name, err := d.utf8(section)
		if err != nil {
			return nil, err
		}
		if name == "" && d.off < len(d.p) && d.p[d.off] == markerObjectEnd {
			d.off++
			return ps, nil
		}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		ps = append(ps, Property{Name: name, Value: v})
	}
}

func (d *decoder) strictArray() (Value, error) {
	count, err := d.uint32("AMF0 2.12")
	if err != nil {
		return nil, err
	}
	// A value has at least its marker, so a count above the bytes left is a lie.
	if uint64(count) > uint64(len(d.p)-d.off) {
		return nil, d.short("AMF0 2.12")
	}
	if err := d.enter("AMF0 2.12"); err != nil {
		return nil, err
	}
	defer d.leave()
	var a StrictArray
	for range count {
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		a = append(a, v)
	}
	return a, nil
}
