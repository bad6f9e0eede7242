package rtmp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/remux/flv"
	"weir/rtmp/amf"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/transcripts")

// A transcript is a dialogue, one step a line:
//
//	# why the dialogue goes as it does
//	> the peer sends a message: its kind, its message stream and its values
//	! the caller does something
//	= an event that came of it
//	< a message that was sent because of it
//	E the error that ended it
//
// The lines from = on are what the engine does; -update rewrites them.

// TestTranscripts replays the dialogues of testdata/transcripts with a server,
// or with a client where the file's name begins with client.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find transcripts: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, file, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("the dialogue went otherwise; with -update the difference shows in git:\n%s", got)
			}
		})
	}
}

// dialogue is one run of a transcript.
type dialogue struct {
	t      *testing.T
	server *Server
	client *Client
	// peer writes what the peer sends, and sent reads what the peer is sent.
	peer chunkWriter
	sent chunkReader
	out  strings.Builder
	err  error
}

func replay(t *testing.T, file, text string) string {
	d := &dialogue{t: t, peer: newChunkWriter(), sent: newChunkReader(1 << 20)}
	if strings.HasPrefix(filepath.Base(file), "client") {
		d.client = NewClient(ClientConfig{App: "live", TCURL: "rtmp://localhost/live", Name: "alice?key=secret"})
	} else {
		d.server = NewServer(ServerConfig{})
	}
	d.receive(append([]byte{3}, make([]byte, 2*handshakeSize)...))
	d.output(true)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		mark, step, _ := strings.Cut(line, " ")
		switch mark {
		case "=", "<", "E":
			continue
		}
		d.out.WriteString(line + "\n")
		switch mark {
		case ">":
			d.send(step)
			d.receive(d.peer.take())
		case "!":
			d.call(step)
		}
		d.output(false)
		if d.err != nil {
			fmt.Fprintf(&d.out, "E %v\n", d.err)
			d.err = nil
		}
	}
	return d.out.String()
}

// receive feeds p to the engine and writes down the events.
func (d *dialogue) receive(p []byte) {
	if d.client != nil {
		events, err := d.client.Receive(time.Time{}, p)
		d.err = err
		for _, e := range events {
			fmt.Fprintf(&d.out, "= %s code=%s description=%q tcUrl=%q\n", clientEventNames[e.Type], e.Code, e.Description, e.TCURL)
		}
		return
	}
	events, err := d.server.Receive(time.Time{}, p)
	d.err = err
	for _, e := range events {
		d.event(e)
	}
}

var clientEventNames = map[ClientEventType]string{
	ClientPublishing: "publishing", ClientStatus: "status", ClientReconnect: "reconnect",
}

func (d *dialogue) event(e Event) {
	switch e.Type {
	case EventTag:
		fmt.Fprintf(&d.out, "= tag %d type=%d time=%d %s\n", e.StreamID, e.Tag.Type, e.Tag.Timestamp, readable(e.Tag.Data))
	case EventUnpublish:
		fmt.Fprintf(&d.out, "= unpublish %d\n", e.StreamID)
	default:
		fmt.Fprintf(&d.out, "= %s %d app=%q tcUrl=%q name=%q query=%q", e.Type, e.StreamID, e.App, e.TCURL, e.Name, e.Query)
		if e.Encoder != "" {
			fmt.Fprintf(&d.out, " encoder=%q", e.Encoder)
		}
		d.out.WriteByte('\n')
	}
}

// readable writes AMF0 values as JSON, and what is none as hex.
func readable(p []byte) string {
	vs, err := amf.DecodeAll(p)
	if err != nil || len(vs) == 0 {
		return hex.EncodeToString(p)
	}
	return values(vs)
}

// output reads what the engine sends, and writes it down unless it is the
// handshake's.
func (d *dialogue) output(handshake bool) {
	p := d.engineOutput()
	if handshake {
		p = p[1+2*handshakeSize:]
	}
	for {
		m, n, ok, err := d.sent.next(p)
		if err != nil {
			d.t.Fatalf("read what was sent: %v", err)
		}
		if !ok {
			return
		}
		p = p[n:]
		if m.typ == typeSetChunkSize {
			size, _ := number(m.payload, "")
			d.sent.chunkSize = int(size)
		}
		fmt.Fprintf(&d.out, "< %s %d %s\n", kindNames[m.typ], m.stream, content(m))
	}
}

func (d *dialogue) engineOutput() []byte {
	if d.client != nil {
		return d.client.Output()
	}
	return d.server.Output()
}

// kindNames are the names of message types in transcripts.
var kindNames = map[messageType]string{
	typeSetChunkSize: "chunk-size", typeAbort: "abort", typeAcknowledgement: "ack", typeUserControl: "user-control",
	typeWindowAckSize: "window", typeSetPeerBandwidth: "bandwidth", typeAudio: "audio", typeVideo: "video",
	typeDataAMF3: "data3", typeCommandAMF3: "command3", typeDataAMF0: "data", typeCommandAMF0: "command",
	typeAggregate: "aggregate", 19: "shared-object",
}

func kind(t *testing.T, name string) messageType {
	for typ, n := range kindNames {
		if n == name {
			return typ
		}
	}
	t.Fatalf("no kind of message %q", name)
	return 0
}

func content(m message) string {
	switch m.typ {
	case typeCommandAMF0, typeDataAMF0:
		return readable(m.payload)
	}
	return hex.EncodeToString(m.payload)
}

// send writes the message of a > line: kind, message stream, and either hex or,
// for AMF, values in JSON. Data, audio and video may have @time in front.
func (d *dialogue) send(step string) {
	name, rest, _ := strings.Cut(step, " ")
	stream, rest, _ := strings.Cut(rest, " ")
	id, err := strconv.ParseUint(stream, 10, 32)
	if err != nil {
		d.t.Fatalf("message stream of %q: %v", step, err)
	}
	m := message{typ: kind(d.t, name), stream: uint32(id)}
	if at, after, ok := strings.Cut(rest, " "); ok && strings.HasPrefix(at, "@") {
		ms, err := strconv.ParseUint(at[1:], 10, 32)
		if err != nil {
			d.t.Fatal(err)
		}
		m.timestamp, rest = uint32(ms), after
	}
	switch {
	case strings.HasPrefix(rest, "x"):
		m.payload, err = hex.DecodeString(strings.ReplaceAll(rest[1:], " ", ""))
		if err != nil {
			d.t.Fatal(err)
		}
	default:
		if m.typ == typeCommandAMF3 || m.typ == typeDataAMF3 {
			m.payload = []byte{0}
		}
		m.payload = amf.Append(m.payload, parse(d.t, rest)...)
	}
	d.peer.write(3, m)
	if m.typ == typeSetChunkSize {
		if size, err := number(m.payload, ""); err == nil && size > 0 {
			d.peer.chunkSize = int(size)
		}
	}
}

// call does what a ! line asks of the caller.
func (d *dialogue) call(step string) {
	var args []string
	name, rest, _ := strings.Cut(step, " ")
	for _, v := range parse(d.t, rest) {
		args = append(args, strings.Trim(values([]amf.Value{v}), `"`))
	}
	number := func() uint32 {
		id, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil {
			d.t.Fatal(err)
		}
		return uint32(id)
	}
	switch name {
	case "accept":
		d.server.Accept(number())
	case "refuse":
		d.server.Refuse(number(), args[1], args[2])
	case "reconnect":
		fmt.Fprintf(&d.out, "= %t\n", d.server.RequestReconnect(args[0], args[1]))
	case "unpublish":
		d.client.Unpublish()
	case "tag":
		data, err := hex.DecodeString(args[1])
		if err != nil {
			d.t.Fatal(err)
		}
		d.err = d.client.WriteTag(flv.Tag{Type: flv.TagType(number()), Timestamp: 40, Data: data})
	default:
		d.t.Fatalf("no call %q", name)
	}
}

// values writes AMF0 values as JSON, one after the other; undefined stands for
// itself.
func values(vs []amf.Value) string {
	var parts []string
	for _, v := range vs {
		switch v := v.(type) {
		case amf.Null:
			parts = append(parts, "null")
		case amf.Undefined:
			parts = append(parts, "undefined")
		case amf.StrictArray:
			parts = append(parts, "["+strings.ReplaceAll(values(v), " ", ",")+"]")
		case amf.Object, amf.ECMAArray, amf.TypedObject:
			var members []string
			for _, p := range amf.PropertiesOf(v) {
				members = append(members, strconv.Quote(p.Name)+":"+values([]amf.Value{p.Value}))
			}
			parts = append(parts, "{"+strings.Join(members, ",")+"}")
		default:
			text, err := json.Marshal(v)
			if err != nil {
				text = fmt.Appendf(nil, "%v", v)
			}
			parts = append(parts, string(text))
		}
	}
	return strings.Join(parts, " ")
}

// parse reads values from JSON, one after the other.
func parse(t *testing.T, text string) (vs []amf.Value) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	for dec.More() {
		vs = append(vs, parseValue(t, dec))
	}
	return vs
}

func parseValue(t *testing.T, dec *json.Decoder) amf.Value {
	token, err := dec.Token()
	if err != nil {
		t.Fatalf("parse values: %v", err)
	}
	switch v := token.(type) {
	case float64:
		return amf.Number(v)
	case bool:
		return amf.Boolean(v)
	case string:
		return amf.String(v)
	case json.Delim:
		var object amf.Object
		var array amf.StrictArray
		for dec.More() {
			if v == '[' {
				array = append(array, parseValue(t, dec))
				continue
			}
			name := parseValue(t, dec).(amf.String)
			object = append(object, amf.Property{Name: string(name), Value: parseValue(t, dec)})
		}
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
		if v == '[' {
			return array
		}
		return object
	}
	return amf.Null{}
}
