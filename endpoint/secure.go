package endpoint

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Secure is a listener whose connections speak TLS.
//
// A tls.Conn reads a record at a time, and an encoder may send one for each
// frame. So that what waited in the kernel is read together all the same, as
// without TLS, a connection tells whether another record is there.
//
// A tls.Conn writes while it is read, too: it answers whoever asks for new keys
// (RFC 8446, 4.6.3). A peer that asks again and again and reads nothing would
// hold up its reader, and whoever closes it, for good. So a write for which
// nobody has set a deadline has one.
func Secure(ln net.Listener, config *tls.Config) net.Listener { return secured{ln, config} }

type secured struct {
	net.Listener
	config *tls.Config
}

// Accept returns the next connection. It shakes hands when it is first read.
func (s secured) Accept() (net.Conn, error) {
	nc, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := &records{Conn: nc}
	r.buffer = bufio.NewReaderSize(from{r}, recordBuffer)
	return tls.Server(r, s.config), nil
}

const (
	// recordHeader is type, version and length (RFC 8446, 5.1).
	recordHeader = 5
	// recordBuffer holds the largest record: 2^14 bytes and 2048 of TLS 1.2.
	recordBuffer = recordHeader + 1<<14 + 2048
)

// records is a connection that gives a tls.Conn no more than the record that it
// asks for: what comes behind is then known to be there.
type records struct {
	net.Conn
	buffer *bufio.Reader
	left   int  // bytes of the record that is being read
	full   bool // the last read of the connection filled the buffer

	mu      sync.Mutex
	bounded bool // somebody has said when writes end
	late    bool // one has: what the peer has of its record nobody knows
}

// from reads the connection itself.
type from struct{ r *records }

func (f from) Read(p []byte) (int, error) {
	n, err := f.r.Conn.Read(p)
	f.r.full = n == len(p)
	return n, err
}

// Read reads of one record.
func (r *records) Read(p []byte) (int, error) {
	if r.left == 0 {
		header, err := r.buffer.Peek(recordHeader)
		if err != nil && len(header) == 0 {
			return 0, err
		}
		r.left = len(header) // of a peer that ends in the middle of one, or speaks no TLS
		if err == nil {
			r.left += int(binary.BigEndian.Uint16(header[3:]))
		}
	}
	n, err := r.buffer.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// Write writes, for writeTimeout at most where nobody has set a deadline. Behind
// a write that has not ended in time there is none.
func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	err := error(nil)
	switch {
	case r.late:
		err = os.ErrDeadlineExceeded
	case !r.bounded:
		err = r.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	r.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := r.Conn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.mu.Lock()
		r.late = true
		r.mu.Unlock()
	}
	return n, err
}

// SetWriteDeadline says when writes end. The zero time leaves it to Write, which
// may be at work.
func (r *records) SetWriteDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bounded = !t.IsZero(); !r.bounded {
		t = time.Now().Add(writeTimeout)
	}
	return r.Conn.SetWriteDeadline(t)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (r *records) SetDeadline(t time.Time) error {
	return errors.Join(r.SetReadDeadline(t), r.SetWriteDeadline(t))
}

// sever ends a connection at once. Close of a tls.Conn says so to the peer
// before, and waits for whoever writes.
func sever(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	_ = nc.Close() // the peer learns all it can from that
}

// another tells whether a whole record can be read without waiting.
func (r *records) another() bool {
	if r.left > 0 || r.buffer.Buffered() < recordHeader {
		return false
	}
	header, err := r.buffer.Peek(recordHeader)
	return err == nil && r.buffer.Buffered() >= recordHeader+int(binary.BigEndian.Uint16(header[3:]))
}

// recordsOf are those below a connection that Secure has made; nil of another.
func recordsOf(nc net.Conn) *records {
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	r, _ := t.NetConn().(*records)
	return r
}
