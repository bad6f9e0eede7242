package rtmp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pad makes n bytes of payload.
func pad(n int) string { return strings.Repeat("x", n) }

// msg is a message in a form that can be compared.
type msg struct {
	Type      messageType
	Stream    uint32
	Timestamp uint32
	Payload   string
}

// chunkCases are chunks and the messages in them. They also seed the fuzzers.
var chunkCases = []struct {
	name string
	// why says what the case pins.
	why  string
	enc  string
	want []msg
}{
	{
		"type 0", "the full header; the message stream is little-endian",
		"\x04\x00\x00\x0a\x00\x00\x02\x08\x01\x00\x00\x00ab",
		[]msg{{8, 1, 10, "ab"}},
	},
	{
		"type 1", "a delta, a new length and type, the same message stream",
		"\x04\x00\x00\x0a\x00\x00\x02\x08\x01\x00\x00\x00ab" + "\x44\x00\x00\x05\x00\x00\x01\x09c",
		[]msg{{8, 1, 10, "ab"}, {9, 1, 15, "c"}},
	},
	{
		"type 2", "a delta and nothing else",
		"\x04\x00\x00\x0a\x00\x00\x02\x08\x01\x00\x00\x00ab" + "\x84\x00\x00\x05cd",
		[]msg{{8, 1, 10, "ab"}, {8, 1, 15, "cd"}},
	},
	{
		"type 3 repeats a delta", "a type 3 chunk that begins a message has the delta before it",
		"\x04\x00\x00\x0a\x00\x00\x02\x08\x01\x00\x00\x00ab" + "\x84\x00\x00\x05cd" + "\xc4ef" + "\xc4gh",
		[]msg{{8, 1, 10, "ab"}, {8, 1, 15, "cd"}, {8, 1, 20, "ef"}, {8, 1, 25, "gh"}},
	},
	{
		"type 3 after type 0", "then the delta is the timestamp of the type 0 chunk [RTMP 5.3.1.2.4]",
		"\x04\x00\x00\x0a\x00\x00\x02\x08\x01\x00\x00\x00ab" + "\xc4cd",
		[]msg{{8, 1, 10, "ab"}, {8, 1, 20, "cd"}},
	},
	{
		"type 1 first", "librtmp begins its control messages so; the message stream is 0",
		"\x42\x00\x00\x00\x00\x00\x06\x04\x00\x06\x00\x00\x00\x01",
		[]msg{{4, 0, 0, "\x00\x06\x00\x00\x00\x01"}},
	},
	{
		"timestamp goes back", "OBS 30.2 ends at timestamp 0: a type 0 chunk may restart the clock",
		"\x04\x00\x00\x0a\x00\x00\x01\x09\x01\x00\x00\x00a" + "\x04\x00\x00\x00\x00\x00\x01\x09\x01\x00\x00\x00b",
		[]msg{{9, 1, 10, "a"}, {9, 1, 0, "b"}},
	},
	{
		"timestamp wraps", "the clock is modulo 2^32",
		"\x04\xff\xff\xff\x00\x00\x01\x09\x01\x00\x00\x00\xff\xff\xff\xf0a" + "\x84\x00\x00\x20b",
		[]msg{{9, 1, 0xFFFFFFF0, "a"}, {9, 1, 0x10, "b"}},
	},
	{
		"extended delta", "after FFFFFF in types 1 and 2 the 32-bit field is a delta, as ffmpeg and librtmp send it",
		"\x04\x00\x00\x01\x00\x00\x01\x09\x01\x00\x00\x00a" + "\x84\xff\xff\xff\x01\x00\x00\x00b",
		[]msg{{9, 1, 1, "a"}, {9, 1, 0x01000001, "b"}},
	},
	{
		"csid in two bytes", "64 + the byte",
		"\x00\x00\x00\x00\x00\x00\x00\x01\x08\x01\x00\x00\x00a" + "\x00\xff\x00\x00\x00\x00\x00\x01\x08\x02\x00\x00\x00b" + "\xc0\x00c",
		[]msg{{8, 1, 0, "a"}, {8, 2, 0, "b"}, {8, 1, 0, "c"}},
	},
	{
		"csid in three bytes", "64 + the second + 256 times the third; 64 to 319 have both forms",
		"\x01\xff\xff\x00\x00\x00\x00\x00\x01\x08\x01\x00\x00\x00a" + "\x01\x01\x00\x00\x00\x00\x00\x00\x01\x08\x02\x00\x00\x00b" + "\xc0\x01c",
		[]msg{{8, 1, 0, "a"}, {8, 2, 0, "b"}, {8, 2, 0, "c"}},
	},
	{
		"several chunks", "chunks of 128 bytes until told otherwise, types 3 between",
		"\x04\x00\x00\x0a\x00\x01\x02\x08\x01\x00\x00\x00" + pad(128) + "\xc4" + pad(128) + "\xc4" + pad(2),
		[]msg{{8, 1, 10, pad(258)}},
	},
	{
		"exactly one chunk", "a message as long as a chunk has no type 3 chunk",
		"\x04\x00\x00\x0a\x00\x00\x80\x08\x01\x00\x00\x00" + pad(128) + "\xc4" + pad(128),
		[]msg{{8, 1, 10, pad(128)}, {8, 1, 20, pad(128)}},
	},
	{
		"interleaved", "messages on two chunk streams may alternate chunk by chunk",
		"\x04\x00\x00\x01\x00\x00\x82\x08\x01\x00\x00\x00" + pad(128) +
			"\x06\x00\x00\x02\x00\x00\x81\x09\x01\x00\x00\x00" + pad(128) + "\xc4aa" + "\xc6b",
		[]msg{{8, 1, 1, pad(128) + "aa"}, {9, 1, 2, pad(128) + "b"}},
	},
	{
		"empty message", "a message may have no payload",
		"\x04\x00\x00\x0a\x00\x00\x00\x08\x01\x00\x00\x00" + "\xc4",
		[]msg{{8, 1, 10, ""}, {8, 1, 20, ""}},
	},
	{
		"extended timestamp repeated", "type 3 chunks carry it too by [RTMP 5.3.1.3], as Debian's librtmp does",
		"\x04\xff\xff\xff\x00\x00\x82\x08\x01\x00\x00\x00\x01\x02\x03\x04" + pad(128) + "\xc4\x01\x02\x03\x04zz" +
			"\x44\x00\x00\x01\x00\x00\x01\x08b",
		[]msg{{8, 1, 0x01020304, pad(128) + "zz"}, {8, 1, 0x01020305, "b"}},
	},
	{
		"extended timestamp not repeated", "OBS up to 30.0 leaves it out: other bytes in its place are payload",
		"\x04\xff\xff\xff\x00\x00\x86\x08\x01\x00\x00\x00\x01\x02\x03\x04" + pad(128) + "\xc4\x01\x02\x03zzz" +
			"\x44\x00\x00\x01\x00\x00\x01\x08b",
		[]msg{{8, 1, 0x01020304, pad(128) + "\x01\x02\x03zzz"}, {8, 1, 0x01020305, "b"}},
	},
	{
		"extended timestamp not repeated before little payload", "the bytes compared may belong to the next chunk's header",
		"\x04\xff\xff\xff\x00\x00\x81\x08\x01\x00\x00\x00\x01\x44\x00\x01" + pad(128) + "\xc4\x01" +
			"\x44\x00\x00\x01\x00\x00\x01\x08b",
		[]msg{{8, 1, 0x01440001, pad(128) + "\x01"}, {8, 1, 0x01440002, "b"}},
	},
	{
		"extended timestamp not repeated before no payload", "and to the next two, when messages are empty",
		"\x04\xff\xff\xff\x00\x00\x00\x08\x01\x00\x00\x00\xc4\xc4\xc4\x00" + "\xc4\xc4\xc4\x05" + "\x00\x00\x00\x00\x00\x00\x08\x01\x00\x00\x00",
		[]msg{{8, 1, 0xC4C4C400, ""}, {8, 1, 0x89898800, ""}, {8, 1, 0x4E4E4C00, ""}, {8, 1, 0x13131000, ""}, {8, 1, 0, ""}},
	},
	{
		"extended timestamp on a type 3 chunk that begins a message", "the same rule; the delta is what came last",
		"\x04\x00\x00\x01\x00\x00\x01\x08\x01\x00\x00\x00a" + "\x84\xff\xff\xff\x01\x00\x00\x00b" + "\xc4\x01\x00\x00\x00c" + "\xc4dd",
		[]msg{{8, 1, 1, "a"}, {8, 1, 0x01000001, "b"}, {8, 1, 0x02000001, "c"}, {8, 1, 0x03000001, "d"}},
	},
}

// readChunks feeds p to a reader in pieces and returns the messages.
func readChunks(r *chunkReader, p []byte, split func(left int) int) (got []msg, err error) {
	for len(p) > 0 && err == nil {
		piece := bytes.Clone(p[:split(len(p))])
		p = p[len(piece):]
		var raw []message
		raw, err = readPiece(r, piece)
		// Only now: messages must not share memory before the next piece.
		for _, m := range raw {
			got = append(got, msg{m.typ, m.stream, m.timestamp, string(m.payload)})
		}
		clear(piece) // what aliases the piece is lost from here on
	}
	return got, err
}

func readPiece(r *chunkReader, p []byte) (ms []message, err error) {
	r.recycle()
	for {
		m, n, ok, err := r.next(p)
		if err != nil || !ok {
			return ms, err
		}
		ms = append(ms, m)
		p = p[n:]
	}
}

func TestChunkReader(t *testing.T) {
	for _, c := range chunkCases {
		t.Run(c.name, func(t *testing.T) {
			for name, split := range splits(1) {
				r := newChunkReader(1 << 20)
				got, err := readChunks(&r, []byte(c.enc), split)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s; %s (-want +got):\n%s", name, c.why, diff)
				}
			}
		})
	}
}

// splits are ways to cut the input into pieces.
func splits(seed uint64) map[string]func(int) int {
	return map[string]func(int) int{
		"whole":  whole,
		"bytes":  bytewise,
		"random": randomly(rand.New(rand.NewPCG(seed, 0))),
	}
}

// brokenChunks are chunks that no message comes of, and the section they break.
var brokenChunks = []struct {
	name, enc, section string
}{
	{"type 2 first", "\x84\x00\x00\x05", "RTMP 5.3.1.2"},
	{"type 3 first", "\xc4", "RTMP 5.3.1.2"},
	{"type 3 first on a long csid", "\xc1\xff\xff", "RTMP 5.3.1.2"},
	{
		"new message before the old is whole",
		"\x04\x00\x00\x0a\x00\x00\x81\x08\x01\x00\x00\x00" + pad(128) + "\x44\x00\x00\x0a\x00\x00\x81\x08", "RTMP 5.3.1",
	},
	{"message above the limit", "\x04\x00\x00\x00\x10\x00\x01\x09\x01\x00\x00\x00", "RTMP 5.3.1.2"},
	{"command above its limit", "\x04\x00\x00\x00\x01\x00\x01\x14\x01\x00\x00\x00", "RTMP 5.3.1.2"},
	{"too many chunk streams", chunkStreams(2, maxChunkStreams+1), "RTMP 5.3.1.1"},
	{"too many long chunk streams", chunkStreams(1000, maxChunkStreams+1), "RTMP 5.3.1.1"},
}

// chunkStreams begins n chunk streams from csid first on with an empty message.
func chunkStreams(first, n int) string {
	var b strings.Builder
	for id := first; id < first+n; id++ {
		switch {
		case id < 64:
			b.WriteByte(byte(id))
		default:
			b.Write([]byte{1, byte(id - 64), byte((id - 64) >> 8)})
		}
		b.WriteString("\x00\x00\x00\x00\x00\x00\x08\x01\x00\x00\x00")
	}
	return b.String()
}

func TestChunkReaderBroken(t *testing.T) {
	for _, c := range brokenChunks {
		t.Run(c.name, func(t *testing.T) {
			for name, split := range splits(2) {
				r := newChunkReader(1 << 20)
				_, err := readChunks(&r, []byte(c.enc), split)
				e, ok := errors.AsType[*PeerError](err)
				if !ok || e.Section != c.section {
					t.Errorf("%s: error %v, want one of [%s]", name, err, c.section)
				}
			}
		})
	}
}

// TestChunkStreamsAtTheLimit: as many chunk streams as the limit says are fine.
func TestChunkStreamsAtTheLimit(t *testing.T) {
	r := newChunkReader(1 << 20)
	got, err := readChunks(&r, []byte(chunkStreams(30, maxChunkStreams)), whole)
	if err != nil || len(got) != maxChunkStreams {
		t.Errorf("%d messages, error %v", len(got), err)
	}
}

// begun returns messages of n bytes that are begun on chunk streams 2 to
// 2+streams-1 with a chunk of 1000 bytes and not ended.
func begun(streams, n int) []byte {
	var b []byte
	for id := 2; id < 2+streams; id++ {
		b = append(b, byte(id), 0, 0, 0, byte(n>>16), byte(n>>8), byte(n), byte(typeVideo), 1, 0, 0, 0)
		b = append(b, pad(1000)...)
	}
	return b
}

// TestPartialMessages: messages that are begun on many chunk streams and never
// ended cost what came of them, not what they declare.
func TestPartialMessages(t *testing.T) {
	r := newChunkReader(1 << 20)
	r.chunkSize = 1000
	if _, err := readChunks(&r, begun(60, 1<<20), randomly(rand.New(rand.NewPCG(3, 0)))); err != nil {
		t.Fatal(err)
	}
	held := r.buffers.held
	for _, cs := range r.low {
		if cs != nil {
			held += cap(cs.buf)
		}
	}
	if held > 60*4096 {
		t.Errorf("60 messages of which 1000 bytes came hold %d bytes", held)
	}
}

// TestPartialLimit: all partial messages together are bounded, though each is
// within the limit of a message.
func TestPartialLimit(t *testing.T) {
	r := newChunkReader(20_000)
	r.chunkSize = 1000
	if _, err := readChunks(&r, begun(40, 20_000), whole); err != nil {
		t.Fatalf("40 kB of messages of 20 kB: %v", err)
	}
	_, err := readChunks(&r, []byte("\xc2x"), whole)
	if e, ok := errors.AsType[*PeerError](err); !ok || e.Section != "RTMP 5.3.1" {
		t.Errorf("a byte more: error %v, want one of [RTMP 5.3.1]", err)
	}
}

// TestAbort: an abort drops what came of a message; the chunk stream goes on
// [RTMP 5.4.2].
func TestAbort(t *testing.T) {
	r := newChunkReader(1 << 20)
	begin := "\x04\x00\x00\x0a\x00\x00\x82\x08\x01\x00\x00\x00" + pad(128)
	if got, err := readChunks(&r, []byte(begin), whole); err != nil || len(got) > 0 {
		t.Fatal(got, err)
	}
	r.abort(4)
	r.abort(99) // unknown: nothing to drop
	if r.partial != 0 {
		t.Errorf("%d bytes still count as partial", r.partial)
	}
	got, err := readChunks(&r, []byte("\xc4"+pad(128)+"\xc4zz"), whole)
	if diff := cmp.Diff([]msg{{8, 1, 20, pad(128) + "zz"}}, got); diff != "" || err != nil {
		t.Errorf("%v, after the abort (-want +got):\n%s", err, diff)
	}
}
