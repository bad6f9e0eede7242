//go:build linux || darwin || freebsd

package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// locks excludes writers of one key from each other, in this process and in
// others: within the process by a channel, so that few system calls are made
// in vain, between processes by flock(2) on one of a fixed number of files.
// The kernel frees a dead process's locks.
type locks struct {
	root   *os.Root
	shards *[64]chan struct{}
}

// lockPoll is how often a lock that another process holds is tried: flock(2)
// can wait, but not until a context ends.
const lockPoll = time.Millisecond

func newLocks(root *os.Root) locks {
	l := locks{root, new([64]chan struct{})}
	for i := range l.shards {
		l.shards[i] = make(chan struct{}, 1)
	}
	return l
}

// lock waits for the key's lock and returns what gives it back.
func (l locks) lock(ctx context.Context, key string) (unlock func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(key))
	shard := h.Sum32() % uint32(len(l.shards))
	select {
	case l.shards[shard] <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for lock: %w", ctx.Err())
	}
	file, err := l.lockFile(ctx, path.Join(lockDir, fmt.Sprintf("%02x", shard)))
	if err != nil {
		<-l.shards[shard]
		return nil, err
	}
	return func() {
		_ = file.Close() // and with it the flock; nothing was written
		<-l.shards[shard]
	}, nil
}

func (l locks) lockFile(ctx context.Context, name string) (*os.File, error) {
	file, err := l.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := tryFlock(file)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for lock: %w", ctx.Err()), file.Close())
		}
	}
}

// tryFlock locks a file for as long as it is open, or fails with EWOULDBLOCK
// where somebody else has it.
func tryFlock(file *os.File) error {
	var flockErr error
	err := withFD(file, func(fd int) {
		for flockErr = unix.EINTR; flockErr == unix.EINTR; {
			flockErr = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		}
	})
	if err != nil {
		return err
	}
	if flockErr != nil {
		return &os.PathError{Op: "flock", Path: file.Name(), Err: flockErr}
	}
	return nil
}
