// Package amf decodes and appends AMF0, the values of RTMP commands and of
// FLV script data.
//
// Values are a closed set of Go types, one for each marker. Objects keep their
// order. What is decoded costs memory in proportion to the bytes that arrived:
// no declared count or length allocates, and depth is bounded by MaxDepth.
//
// Source: Adobe, Action Message Format -- AMF 0, cited as [AMF0]. A value in
// AMF3, switched to for one value [AMF0 3.1], is decoded to its AMF0 twin; its
// source is Adobe, Action Message Format -- AMF 3, cited as [AMF3].
package amf

// MaxDepth is how many objects and arrays may be nested in each other. The
// deepest known in the field is three, in the maps of enhanced RTMP's connect.
const MaxDepth = 16

// The markers, the first byte of every value [AMF0 2.1].
const (
	markerNumber      = 0x00
	markerBoolean     = 0x01
	markerString      = 0x02
	markerObject      = 0x03
	markerNull        = 0x05
	markerUndefined   = 0x06
	markerReference   = 0x07
	markerECMAArray   = 0x08
	markerObjectEnd   = 0x09
	markerStrictArray = 0x0A
	markerDate        = 0x0B
	markerLongString  = 0x0C
	markerUnsupported = 0x0D
	markerXML         = 0x0F
	markerTypedObject = 0x10
	markerAMF3        = 0x11
)

// Value is one of Number, Boolean, String, Object, Null, Undefined, Reference,
// ECMAArray, StrictArray, Date, Unsupported, XML and TypedObject.
type Value interface {
	appendTo(dst []byte) []byte
}

// The types without parts of their own.
type (
	// Number is the only number there is, a double [AMF0 2.2].
	Number float64
	// Boolean is one byte; any but zero is true [AMF0 2.3].
	Boolean bool
	// String is UTF-8 by the specification; the bytes are kept as they are. It
	// is appended as a long string where its length needs that [AMF0 2.4, 2.14].
	String string
	// Null is also what commands without a command object carry [AMF0 2.7].
	Null struct{}
	// Undefined is the value of what has none [AMF0 2.8].
	Undefined struct{}
	// Reference is the index of an object or array that came before in the same
	// message [AMF0 2.9]. It is kept, not followed: following lets a few bytes
	// stand for any number of values.
	Reference uint16
	// Unsupported stands for what the sender could not write [AMF0 2.15].
	Unsupported struct{}
	// XML is the text of an XML document [AMF0 2.17].
	XML string
)

// Date is a moment in milliseconds since 1970 in UTC. Zone is reserved and
// should be zero [AMF0 2.13].
type Date struct {
	Milliseconds float64
	Zone         int16
}

// Property is a named value of an object or ECMA array. A name has at most
// 65535 bytes; appending cuts a longer one there.
type Property struct {
	Name  string
	Value Value
}

// Properties are in the sender's order. A name may stand in it twice.
type Properties []Property

type (
	// Object is an anonymous object [AMF0 2.5].
	Object Properties
	// ECMAArray is an object by another marker, with a count that is only a hint
	// [AMF0 2.10]. Appending writes the true count.
	ECMAArray Properties
	// StrictArray is a list [AMF0 2.12].
	StrictArray []Value
	// TypedObject is an object with a class [AMF0 2.18].
	TypedObject struct {
		Class      string
		Properties Properties
	}
)

// Get returns the value of the last property of that name, or nil.
func (ps Properties) Get(name string) Value {
	for i := len(ps) - 1; i >= 0; i-- {
		if ps[i].Name == name {
			return ps[i].Value
		}
	}
	return nil
}

// PropertiesOf returns the properties of an object, typed object or ECMA
// array, and of any other value none. Encoders use the three interchangeably.
func PropertiesOf(v Value) Properties {
	switch v := v.(type) {
	case Object:
		return Properties(v)
	case ECMAArray:
		return Properties(v)
	case TypedObject:
		return v.Properties
	}
	return nil
}
