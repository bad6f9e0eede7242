package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// socketScheme begins the address of a listener that is a file: unix:PATH.
const socketScheme = "unix:"

// Socket is the address of the admin's socket of a weir that keeps its data in
// a directory. Only the same user reaches it.
func Socket(data string) string { return socketScheme + filepath.Join(data, "admin", "weir.sock") }

// IsSocket tells whether a listener's address is a file.
func IsSocket(address string) bool { return strings.HasPrefix(address, socketScheme) }

// maxSocketPath is what all systems take of a path: sockaddr_un has 104 bytes
// of it on some, and 108 on Linux.
const maxSocketPath = 103

// Listen listens at HOST:PORT, or at unix:PATH, for this user only: in a
// directory that it makes for this user only, if it is not there.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, socketScheme)
	if !ok {
		return new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("listen %s: the path of a socket may have %d bytes", address, maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen %s: %w", address, err), l.Close())
	}
	return l, nil
}

// Answers tells whether somebody listens at a socket.
func Answers(socket string) bool {
	c, err := net.DialTimeout("unix", strings.TrimPrefix(socket, socketScheme), time.Second)
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was said
	return true
}

// removeStale removes the socket of a process that has gone without closing
// it. What is no socket, and what answers, is left alone.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("a file that is no socket is in its place")
	}
	if Answers(path) {
		return errors.New("another process answers there")
	}
	return os.Remove(path)
}
