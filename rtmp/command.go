package rtmp

import (
	"errors"

	"weir/rtmp/amf"
)

// command is a command message: its name, its transaction id, the command
// object and the first argument [RTMP 7.2]. No command of a publish needs the
// others. Encoders leave out what they do not need, and answers have the same
// form.
type command struct {
	name        string
	transaction float64
	object      amf.Properties
	// arg is nil where there is none.
	arg amf.Value
	// stream is the message stream it came on.
	stream uint32
}

// decodeCommand decodes a command message. What does not decode behind the
// command object is passed over: encoders leave bytes there.
func decodeCommand(m message) (command, error) {
	payload := m.payload
	if m.typ == typeCommandAMF3 {
		payload = skipFormat(payload)
	}
	vs, err := amf.DecodeAll(payload)
	if err != nil && len(vs) < 3 {
		return command{}, brokeAMF("RTMP 7.1.1", "a command is made of AMF values", err)
	}
	if len(vs) == 0 {
		return command{}, broke("RTMP 7.1.1", "a command has a name")
	}
	name, ok := vs[0].(amf.String)
	if !ok {
		return command{}, broke("RTMP 7.1.1", "a command begins with its name, a string")
	}
	c := command{name: string(name), stream: m.stream}
	if len(vs) > 1 {
		c.transaction, _ = asNumber(vs[1])
	}
	if len(vs) > 2 {
		c.object = amf.PropertiesOf(vs[2])
	}
	if len(vs) > 3 {
		c.arg = vs[3]
	}
	return c, nil
}

// skipFormat takes off the format byte that messages of the AMF3 types begin
// with: AMF0 values follow, of which some switch to AMF3 [E-RTMP, "AMF3"]. Old
// clients leave it out; then a string's marker comes first.
func skipFormat(payload []byte) []byte {
	if len(payload) > 0 && payload[0] == 0 {
		return payload[1:]
	}
	return payload
}

// brokeAMF names the rule of AMF that was broken in place of what came.
func brokeAMF(section, rule string, err error) error {
	if e, ok := errors.AsType[*amf.Error](err); ok {
		return &PeerError{Rule: rule, Section: section, Got: e.Error()}
	}
	return broke(section, rule)
}

// asNumber reads a number, or a boolean where some encoders put one.
func asNumber(v amf.Value) (float64, bool) {
	switch v := v.(type) {
	case amf.Number:
		return float64(v), true
	case amf.Boolean:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func asString(v amf.Value) string {
	s, _ := v.(amf.String)
	return string(s)
}

// writeCommand sends a command message on a message stream.
func (c *conn) writeCommand(stream uint32, name string, transaction float64, vs ...amf.Value) {
	payload := amf.Append(nil, amf.String(name), amf.Number(transaction))
	payload = amf.Append(payload, vs...)
	c.out.write(chunkStreamCommand, message{typ: typeCommandAMF0, stream: stream, payload: payload})
}

// status is the information object of onStatus and of the answers to connect
// [RTMP 7.2.1.1, 7.2.2].
func status(level, code, description string) amf.Object {
	return amf.Object{
		{Name: "level", Value: amf.String(level)},
		{Name: "code", Value: amf.String(code)},
		{Name: "description", Value: amf.String(description)},
	}
}
