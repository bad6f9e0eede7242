package endpoint

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"weir/remux/flv"
	"weir/rtmp/amf"
)

// rawClient speaks RTMP by hand, to say what no Client of ours would. It never
// understands the answers; it keeps them.
type rawClient struct {
	t     testing.TB
	nc    net.Conn
	heard chan []byte // all that the server said, at its end
}

// dialRaw connects and shakes hands [RTMP 5.2].
func dialRaw(t testing.TB, addr string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newRaw(t, nc)
}

func newRaw(t testing.TB, nc net.Conn) *rawClient {
	c := &rawClient{t: t, nc: nc, heard: make(chan []byte, 1)}
	go func() {
		b, _ := io.ReadAll(nc) // a reset ends it as well as a close
		c.heard <- b
	}()
	hello := make([]byte, 1+1536+1536)
	hello[0] = 3
	c.write(hello)
	c.message(2, 1, 0, 0, binary.BigEndian.AppendUint32(nil, rawChunk))
	return c
}

// rawChunk is the client's chunk size: each message is one chunk.
const rawChunk = 1 << 23

func (c *rawClient) write(p []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// message sends a message behind a type 0 chunk header [RTMP 5.3.1.2.1].
func (c *rawClient) message(chunkStream, typ byte, stream, timestamp uint32, payload []byte) {
	c.t.Helper()
	c.write(rawMessage(chunkStream, typ, stream, timestamp, payload))
}

func rawMessage(chunkStream, typ byte, stream, timestamp uint32, payload []byte) []byte {
	n := len(payload)
	p := []byte{chunkStream, byte(timestamp >> 16), byte(timestamp >> 8), byte(timestamp), byte(n >> 16), byte(n >> 8), byte(n), typ}
	p = binary.LittleEndian.AppendUint32(p, stream)
	return append(p, payload...)
}

// command sends a command with arguments that are strings or numbers.
func (c *rawClient) command(transaction float64, stream uint32, name string, args ...any) {
	c.t.Helper()
	p := amf.Append(nil, amf.String(name))
	p = amf.Append(p, amf.Number(transaction))
	p = amf.Append(p, amf.Null{})
	for _, a := range args {
		switch a := a.(type) {
		case string:
			p = amf.Append(p, amf.String(a))
		case float64:
			p = amf.Append(p, amf.Number(a))
		}
	}
	c.message(3, 20, stream, 0, p)
}

func (c *rawClient) connect(app string) {
	c.t.Helper()
	p := amf.Append(nil, amf.String("connect"))
	p = amf.Append(p, amf.Number(1))
	p = amf.Append(p, amf.Object{{Name: "app", Value: amf.String(app)}, {Name: "tcUrl", Value: amf.String("rtmp://localhost/" + app)}})
	c.message(3, 20, 0, 0, p)
}

func (c *rawClient) publish(stream uint32, name string) {
	c.t.Helper()
	c.command(5, stream, "publish", name, "live")
}

func (c *rawClient) media(stream uint32, tags ...flv.Tag) {
	c.t.Helper()
	for _, t := range tags {
		c.message(4, byte(t.Type), stream, t.Timestamp, t.Data)
	}
}

// close hangs up and waits until the server has, too.
func (c *rawClient) close() {
	c.t.Helper()
	if w, ok := c.nc.(*net.TCPConn); ok {
		if err := w.CloseWrite(); err != nil {
			c.t.Error(err)
		}
		<-c.heard
	}
	_ = c.nc.Close()
}

// end waits until the server hangs up, and returns how long that took and what
// it said.
func (c *rawClient) end() (time.Duration, []byte) {
	began := time.Now()
	b := <-c.heard
	_ = c.nc.Close()
	return time.Since(began), b
}
