//go:build linux

package hostile

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"weir/internal/testweir"
	"weir/rtmp/amf"
)

// shake is a client's handshake [RTMP 5.2].
func shake() []byte {
	p := make([]byte, 1+1536+1536)
	p[0] = 3
	return p
}

// rawHeader is a type 0 chunk header [RTMP 5.3.1.2.1].
func rawHeader(chunkStream, typ byte, stream uint32, length int) []byte {
	p := []byte{chunkStream, 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length), typ}
	return binary.LittleEndian.AppendUint32(p, stream)
}

// rawMessage is a message in one chunk.
func rawMessage(chunkStream, typ byte, stream uint32, payload []byte) []byte {
	return append(rawHeader(chunkStream, typ, stream, len(payload)), payload...)
}

// timedMessage is one of a publish, at a timestamp.
func timedMessage(typ byte, timestamp uint32, payload []byte) []byte {
	p := rawMessage(4, typ, 1, payload)
	if timestamp < 1<<24-1 {
		p[1], p[2], p[3] = byte(timestamp>>16), byte(timestamp>>8), byte(timestamp)
		return p
	}
	p[1], p[2], p[3] = 0xff, 0xff, 0xff // extended [RTMP 5.3.1.3]
	p = append(p[:12:12], binary.BigEndian.AppendUint32(nil, timestamp)...)
	return append(p, payload...)
}

func setChunk(size uint32) []byte {
	return rawMessage(2, 1, 0, binary.BigEndian.AppendUint32(nil, size))
}

func rawCommand(transaction float64, stream uint32, name string, args ...string) []byte {
	p := amf.Append(nil, amf.String(name))
	p = amf.Append(p, amf.Number(transaction))
	p = amf.Append(p, amf.Null{})
	for _, a := range args {
		p = amf.Append(p, amf.String(a))
	}
	return rawMessage(3, 20, stream, p)
}

// rawConnect is the handshake, a large chunk size, and connect.
func rawConnect() []byte {
	connect := amf.Append(nil, amf.String("connect"))
	connect = amf.Append(connect, amf.Number(1))
	connect = amf.Append(connect, amf.Object{{Name: "app", Value: amf.String("live")}})
	p := append(shake(), setChunk(8<<20)...)
	return append(p, rawMessage(3, 20, 0, connect)...)
}

// helloAs is all that a client says until it publishes a stream of that name.
func helloAs(name string) []byte {
	p := append(rawConnect(), rawCommand(4, 0, "createStream")...)
	return append(p, rawCommand(5, 1, "publish", name, "live")...)
}

// avcConfig is a configuration record that readers can use, and keyFrame one of
// the smallest key frames: the slice's header is whole.
var (
	avcConfig = []byte("\x17\x00\x00\x00\x00\x01\x64\x00\x0c\xff\xe1\x00\x18\x67\x64\x00\x0c\xac\xb4\x0a\x0c\xfc\xf8\x08\x80\x00\x00\x03\x00\x80\x00\x00\x19\x47\x8a\x15\x50\x01\x00\x04\x68\xef\x3c\xb0\xfd\xf8\xf8\x00")
	keyFrame  = []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 10, 0x65, 0x88, 0x84, 0, 0x10, 0xff, 0xfe, 0xf6, 0xf0, 0xfe}
)

// dialFrom connects from an address of 127.0.0.0/8.
func dialFrom(s *testweir.Server, network, host byte) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, network, host)}, Timeout: 10 * time.Second}
	return d.Dial("tcp", s.RTMP)
}

// attackFrom is dialFrom, of one of the attackers, until the test's end.
func attackFrom(t *testing.T, s *testweir.Server, host byte) net.Conn {
	t.Helper()
	nc, err := dialFrom(s, 2, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// hear reads what the server says until it hangs up.
func hear(nc net.Conn) <-chan string {
	said := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(nc) // a reset ends it as well
		said <- string(b)
	}()
	return said
}
