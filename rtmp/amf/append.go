package amf

import (
	"encoding/binary"
	"math"
)

// Append appends the values to dst. A nil value is written as null.
func Append(dst []byte, vs ...Value) []byte {
	for _, v := range vs {
		dst = appendValue(dst, v)
	}
	return dst
}

func appendValue(dst []byte, v Value) []byte {
	if v == nil {
		return append(dst, markerNull)
	}
	return v.appendTo(dst)
}

func appendDouble(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
}

// appendUTF8 cuts s at what its length field can say.
func appendUTF8(dst []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

func appendUTF8Long(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

func appendProperties(dst []byte, ps Properties) []byte {
	for _, p := range ps {
		dst = appendUTF8(dst, p.Name)
		dst = appendValue(dst, p.Value)
	}
	return append(dst, 0, 0, markerObjectEnd)
}

func (n Number) appendTo(dst []byte) []byte {
	return appendDouble(append(dst, markerNumber), float64(n))
}

func (b Boolean) appendTo(dst []byte) []byte {
	if b {
		return append(dst, markerBoolean, 1)
	}
	return append(dst, markerBoolean, 0)
}

func (s String) appendTo(dst []byte) []byte {
	if len(s) > math.MaxUint16 {
		return appendUTF8Long(append(dst, markerLongString), string(s))
	}
	return appendUTF8(append(dst, markerString), string(s))
}

func (Null) appendTo(dst []byte) []byte        { return append(dst, markerNull) }
func (Undefined) appendTo(dst []byte) []byte   { return append(dst, markerUndefined) }
func (Unsupported) appendTo(dst []byte) []byte { return append(dst, markerUnsupported) }

func (r Reference) appendTo(dst []byte) []byte {
	return binary.BigEndian.AppendUint16(append(dst, markerReference), uint16(r))
}

func (x XML) appendTo(dst []byte) []byte {
	return appendUTF8Long(append(dst, markerXML), string(x))
}

func (d Date) appendTo(dst []byte) []byte {
	dst = appendDouble(append(dst, markerDate), d.Milliseconds)
	return binary.BigEndian.AppendUint16(dst, uint16(d.Zone))
}

func (o Object) appendTo(dst []byte) []byte {
	return appendProperties(append(dst, markerObject), Properties(o))
}

func (a ECMAArray) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, markerECMAArray), uint32(len(a)))
	return appendProperties(dst, Properties(a))
}

func (a StrictArray) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, markerStrictArray), uint32(len(a)))
	return Append(dst, a...)
}

func (o TypedObject) appendTo(dst []byte) []byte {
	dst = appendUTF8(append(dst, markerTypedObject), o.Class)
	return appendProperties(dst, o.Properties)
}
