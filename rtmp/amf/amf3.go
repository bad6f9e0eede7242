package amf

import (
	"encoding/binary"
	"math"
	"strconv"
)

// The AMF3 markers [AMF3 3.1]. Where AMF0 has no such type, its nearest stands
// in: a string for a byte array, a strict array for a vector, an ECMA array for
// a dictionary.
const (
	amf3Undefined   = 0x00
	amf3Null        = 0x01
	amf3False       = 0x02
	amf3True        = 0x03
	amf3Integer     = 0x04
	amf3Double      = 0x05
	amf3String      = 0x06
	amf3XMLDocument = 0x07
	amf3Date        = 0x08
	amf3Array       = 0x09
	amf3Object      = 0x0A
	amf3XML         = 0x0B
	amf3ByteArray   = 0x0C
	amf3VectorInt   = 0x0D
	amf3VectorUint  = 0x0E
	amf3VectorDbl   = 0x0F
	amf3VectorObj   = 0x10
	amf3Dictionary  = 0x11
)

// maxExpansion is how many bytes the strings, names and objects that a message
// refers to may make, so that a small message cannot stand for a huge one.
const maxExpansion = 64 << 10

// references are the tables of AMF3, kept for one message [AMF3 2.2].
type references struct {
	strings  []string
	objects  []referred
	traits   []traits
	expanded int
}

// referred is a value that can be referred to, nil where it is not read to its
// end yet. Height is how many objects and arrays are nested in it at most, itself
// counted.
type referred struct {
	Value
	height int
}

// traits are the class of an object and its sealed member names [AMF3 3.12].
type traits struct {
	class   string
	members []string
	dynamic bool
	// wraps: the class writes itself as the one value that it holds.
	wraps bool
}

// wrappers are the classes of Flex that write themselves as one value. Any other
// class that writes itself is known to its author only [AMF3 3.12].
var wrappers = map[string]bool{
	"flex.messaging.io.ArrayCollection": true,
	"flex.messaging.io.ArrayList":       true,
	"flex.messaging.io.ObjectProxy":     true,
}

// amf3Value decodes the one value behind the switch marker [AMF0 3.1]. The
// switch is not sticky: an object's members are AMF3, the next value is AMF0.
func (d *decoder) amf3Value() (Value, error) {
	marker, err := d.uint8("AMF3 3.1")
	if err != nil {
		return nil, err
	}
	switch marker {
	case amf3Undefined:
		return Undefined{}, nil
	case amf3Null:
		return Null{}, nil
	case amf3False, amf3True:
		return Boolean(marker == amf3True), nil
	case amf3Integer:
		n, err := d.u29()
		// 29 bits, signed [AMF3 3.6].
		return Number(int32(n<<3) >> 3), err
	case amf3Double:
		n, err := d.double("AMF3 3.7")
		return Number(n), err
	case amf3String:
		s, err := d.amf3String()
		return String(s), err
	}
	return d.referable(marker)
}

// referable reads what can be referred to: its header's low bit says that the
// value follows; without it the rest is the index of an earlier one.
func (d *decoder) referable(marker uint8) (Value, error) {
	var read func(header uint32) (Value, error)
	switch marker {
	case amf3XMLDocument, amf3XML:
		read = func(n uint32) (Value, error) { b, err := d.take(int(n), "AMF3 3.9"); return XML(b), err }
	case amf3ByteArray:
		read = func(n uint32) (Value, error) { b, err := d.take(int(n), "AMF3 3.14"); return String(b), err }
	case amf3Date:
		read = func(uint32) (Value, error) { ms, err := d.double("AMF3 3.10"); return Date{Milliseconds: ms}, err }
	case amf3Array:
		read = d.amf3Array
	case amf3Object:
		read = d.amf3Object
	case amf3VectorInt, amf3VectorUint, amf3VectorDbl:
		read = func(n uint32) (Value, error) { return d.amf3Numbers(marker, n) }
	case amf3VectorObj:
		read = d.amf3Objects
	case amf3Dictionary:
		read = d.amf3Dictionary
	default:
		d.off--
		return nil, d.fail("the marker is not one of a value", "AMF3 3.1")
	}
	n, err := d.u29()
	if err != nil {
		return nil, err
	}
	if n&1 == 0 {
		return d.earlier(int(n >> 1))
	}
	at := len(d.amf3.objects)
	d.amf3.objects = append(d.amf3.objects, referred{})
	around := d.deepest
	d.deepest = d.depth
	v, err := read(n >> 1)
	if err == nil {
		d.amf3.objects[at] = referred{v, d.deepest - d.depth}
	}
	d.deepest = max(d.deepest, around)
	return v, err
}

// earlier returns the object that a reference means.
func (d *decoder) earlier(i int) (Value, error) {
	const section = "AMF3 2.2"
	if i >= len(d.amf3.objects) {
		return nil, d.fail("the reference is to no object", section)
	}
	v := d.amf3.objects[i]
	if v.Value == nil {
		return nil, d.fail("an object holds itself", section)
	}
	if d.depth+v.height > MaxDepth {
		return nil, d.fail("objects and arrays are nested too deep", section)
	}
	d.deepest = max(d.deepest, d.depth+v.height)
	return v.Value, d.expand(len(v.appendTo(nil)), section)
}

// u29 reads 1 to 4 bytes, 7 bits each, the fourth all 8 [AMF3 1.3.1].
func (d *decoder) u29() (uint32, error) {
	var n uint32
	for range 3 {
		b, err := d.uint8("AMF3 1.3.1")
		if err != nil {
			return 0, err
		}
		n = n<<7 | uint32(b&0x7F)
		if b < 0x80 {
			return n, nil
		}
	}
	b, err := d.uint8("AMF3 1.3.1")
	return n<<8 | uint32(b), err
}

// amf3String reads a string or a reference to one. The empty string is never
// in the table [AMF3 1.3.2].
func (d *decoder) amf3String() (string, error) {
	const section = "AMF3 1.3.2"
	n, err := d.u29()
	if err != nil {
		return "", err
	}
	if n&1 == 0 {
		i := int(n >> 1)
		if i >= len(d.amf3.strings) {
			return "", d.fail("the reference is to no string", section)
		}
		s := d.amf3.strings[i]
		return s, d.expand(len(s), section)
	}
	b, err := d.take(int(n>>1), section)
	if err != nil || len(b) == 0 {
		return "", err
	}
	d.amf3.strings = append(d.amf3.strings, string(b))
	return string(b), nil
}

func (d *decoder) expand(n int, section string) error {
	d.amf3.expanded += n
	if d.amf3.expanded > maxExpansion {
		return d.fail("references stand for too many bytes", section)
	}
	return nil
}

// amf3Array reads associative pairs up to the empty name, then the dense
// values. With pairs it becomes an ECMA array, the dense values named by their
// index [AMF3 3.11].
func (d *decoder) amf3Array(count uint32) (Value, error) {
	const section = "AMF3 3.11"
	if err := d.enter(section); err != nil {
		return nil, err
	}
	defer d.leave()
	pairs, err := d.dynamic(nil)
	if err != nil {
		return nil, err
	}
	if uint64(count) > uint64(len(d.p)-d.off) {
		return nil, d.short(section)
	}
	dense, err := d.amf3Values(count)
	if err != nil {
		return nil, err
	}
	if pairs == nil {
		return dense, nil
	}
	for i, v := range dense {
		pairs = append(pairs, Property{Name: strconv.Itoa(i), Value: v})
	}
	return ECMAArray(pairs), nil
}

func (d *decoder) amf3Values(count uint32) (vs StrictArray, err error) {
	for range count {
		v, err := d.amf3Value()
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// dynamic reads named values up to the empty name.
func (d *decoder) dynamic(ps Properties) (Properties, error) {
	for {
		name, err := d.amf3String()
		if err != nil {
			return nil, err
		}
		if name == "" {
			return ps, nil
		}
		v, err := d.amf3Value()
		if err != nil {
			return nil, err
		}
		ps = append(ps, Property{Name: name, Value: v})
	}
}

// amf3Object reads the sealed members, then the dynamic ones [AMF3 3.12].
func (d *decoder) amf3Object(header uint32) (Value, error) {
	const section = "AMF3 3.12"
	if err := d.enter(section); err != nil {
		return nil, err
	}
	defer d.leave()
	t, err := d.traits(header)
	if err != nil {
		return nil, err
	}
	if t.wraps {
		return d.amf3Value()
	}
	var ps Properties
	for _, name := range t.members {
		if err := d.expand(len(name), section); err != nil {
			return nil, err
		}
		v, err := d.amf3Value()
		if err != nil {
			return nil, err
		}
		ps = append(ps, Property{Name: name, Value: v})
	}
	if t.dynamic {
		if ps, err = d.dynamic(ps); err != nil {
			return nil, err
		}
	}
	if t.class == "" {
		return Object(ps), nil
	}
	return TypedObject{Class: t.class, Properties: ps}, d.expand(len(t.class), section)
}

// traits reads the traits that an object's header announces, inline or by
// reference. The header is without its lowest bit:
//
//	count of sealed members | dynamic | externalizable | inline
//	index                   | 0
func (d *decoder) traits(header uint32) (traits, error) {
	const section = "AMF3 3.12"
	if header&1 == 0 {
		i := int(header >> 1)
		if i >= len(d.amf3.traits) {
			return traits{}, d.fail("the reference is to no traits", section)
		}
		return d.amf3.traits[i], nil
	}
	class, err := d.amf3String()
	if err != nil {
		return traits{}, err
	}
	if header&2 != 0 {
		if !wrappers[class] {
			return traits{}, d.fail("the class of an externalizable object is not known", section)
		}
		t := traits{class: class, wraps: true}
		d.amf3.traits = append(d.amf3.traits, t)
		return t, nil
	}
	t := traits{class: class, dynamic: header&4 != 0}
	for range header >> 3 {
		name, err := d.amf3String()
		if err != nil {
			return traits{}, err
		}
		t.members = append(t.members, name)
	}
	d.amf3.traits = append(d.amf3.traits, t)
	return t, nil
}

// amf3Numbers reads a vector of numbers, behind a byte that says whether its
// length is fixed [AMF3 3.15].
func (d *decoder) amf3Numbers(marker uint8, count uint32) (Value, error) {
	const section = "AMF3 3.15"
	if _, err := d.uint8(section); err != nil {
		return nil, err
	}
	size := 4
	if marker == amf3VectorDbl {
		size = 8
	}
	if uint64(count)*uint64(size) > uint64(len(d.p)-d.off) {
		return nil, d.short(section)
	}
	if err := d.enter(section); err != nil {
		return nil, err
	}
	defer d.leave()
	vs := make(StrictArray, 0, count)
	for range count {
		b, err := d.take(size, section)
		if err != nil {
			return nil, err
		}
		switch marker {
		case amf3VectorInt:
			vs = append(vs, Number(int32(binary.BigEndian.Uint32(b))))
		case amf3VectorUint:
			vs = append(vs, Number(binary.BigEndian.Uint32(b)))
		default:
			vs = append(vs, Number(math.Float64frombits(binary.BigEndian.Uint64(b))))
		}
	}
	return vs, nil
}

// amf3Objects reads a vector of objects: whether its length is fixed, the name
// of their class, and they [AMF3 3.15].
func (d *decoder) amf3Objects(count uint32) (Value, error) {
	const section = "AMF3 3.15"
	if _, err := d.uint8(section); err != nil {
		return nil, err
	}
	if _, err := d.amf3String(); err != nil {
		return nil, err
	}
	if uint64(count) > uint64(len(d.p)-d.off) {
		return nil, d.short(section)
	}
	if err := d.enter(section); err != nil {
		return nil, err
	}
	defer d.leave()
	vs, err := d.amf3Values(count)
	return vs, err
}

// amf3Dictionary reads pairs of key and value, behind a byte that says whether
// the keys are weak [AMF3 3.16]. What is no name or number has no name here.
func (d *decoder) amf3Dictionary(count uint32) (Value, error) {
	const section = "AMF3 3.16"
	if _, err := d.uint8(section); err != nil {
		return nil, err
	}
	if 2*uint64(count) > uint64(len(d.p)-d.off) {
		return nil, d.short(section)
	}
	if err := d.enter(section); err != nil {
		return nil, err
	}
	defer d.leave()
	var ps Properties
	for range count {
		key, err := d.amf3Value()
		if err != nil {
			return nil, err
		}
		v, err := d.amf3Value()
		if err != nil {
			return nil, err
		}
		name := "_"
		switch key := key.(type) {
		case String:
			name = string(key)
		case Number:
			name = strconv.FormatFloat(float64(key), 'g', -1, 64)
		}
		ps = append(ps, Property{Name: name, Value: v})
	}
	return ECMAArray(ps), nil
}
