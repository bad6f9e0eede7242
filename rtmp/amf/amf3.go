package amf

import "strconv"

// The AMF3 markers that have a twin in AMF0 [AMF3 3.1].
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
)

// maxExpansion is how many bytes the strings and names that a message refers
// to may make, so that a small message cannot stand for a huge one.
const maxExpansion = 64 << 10

// references are the tables of AMF3, kept for one message [AMF3 2.2]. A table
// of objects is not kept: references to objects are refused.
type references struct {
	strings  []string
	traits   []traits
	expanded int
}

// traits are the class of an object and its sealed member names [AMF3 3.12].
type traits struct {
	class   string
	members []string
	dynamic bool
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
	case amf3XMLDocument, amf3XML:
		b, err := d.inline("AMF3 3.9")
		return XML(b), err
	case amf3Date:
		if _, err := d.inlineHeader("AMF3 3.10"); err != nil {
			return nil, err
		}
		ms, err := d.double("AMF3 3.10")
		return Date{Milliseconds: ms}, err
	case amf3Array:
		return d.amf3Array()
	case amf3Object:
		return d.amf3Object()
	}
	d.off--
	return nil, d.fail("this AMF3 type is not read here", "AMF3 3.1")
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

// inlineHeader reads a header whose low bit says that the value follows, and
// returns the other bits. The other kind refers to an earlier object.
func (d *decoder) inlineHeader(section string) (uint32, error) {
	n, err := d.u29()
	if err != nil {
		return 0, err
	}
	if n&1 == 0 {
		return 0, d.fail("references to AMF3 objects are not read here", section)
	}
	return n >> 1, nil
}

// inline reads bytes behind a header that is their length.
func (d *decoder) inline(section string) ([]byte, error) {
	n, err := d.inlineHeader(section)
	if err != nil {
		return nil, err
	}
	return d.take(int(n), section)
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
func (d *decoder) amf3Array() (Value, error) {
	const section = "AMF3 3.11"
	count, err := d.inlineHeader(section)
	if err != nil {
		return nil, err
	}
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
	var dense StrictArray
	for range count {
		v, err := d.amf3Value()
		if err != nil {
			return nil, err
		}
		dense = append(dense, v)
	}
	if pairs == nil {
		return dense, nil
	}
	for i, v := range dense {
		pairs = append(pairs, Property{Name: strconv.Itoa(i), Value: v})
	}
	return ECMAArray(pairs), nil
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
func (d *decoder) amf3Object() (Value, error) {
	const section = "AMF3 3.12"
	header, err := d.inlineHeader(section)
	if err != nil {
		return nil, err
	}
	if err := d.enter(section); err != nil {
		return nil, err
	}
	defer d.leave()
	t, err := d.traits(header)
	if err != nil {
		return nil, err
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
	if header&2 != 0 {
		return traits{}, d.fail("externalizable objects are not read here", section)
	}
	class, err := d.amf3String()
	if err != nil {
		return traits{}, err
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
