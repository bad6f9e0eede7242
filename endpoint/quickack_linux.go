package endpoint

import (
	"crypto/tls"
	"net"
	"syscall"
)

// acknowledge makes the kernel acknowledge at once what has come. ffmpeg writes
// a request's head and body apart and lets Nagle's algorithm hold the body back
// until the head is acknowledged: 40 ms for each request.
func acknowledge(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if r, ok := nc.(*records); ok {
		nc = r.Conn
	}
	if p, ok := nc.(interface{ Raw() net.Conn }); ok { // behind a proxy
		nc = p.Raw()
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // without it requests only take longer
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
}
