//go:build !unix

package bench

import (
	"errors"
	"syscall"
)

// writeSome is for systems whose sockets are files.
func writeSome(syscall.RawConn, []byte) (int, error) {
	return 0, errors.New("weir bench runs on Unix systems only")
}
