package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"weir/media/object"
)

const (
	// diskReserve is how much of a disk, or of --data-max, frames and segments
	// leave to what is small and must go on: the registry, checkpoints,
	// playlists. It is never more than a reserveShare-th of all.
	diskReserve  = 64 << 20
	reserveShare = 8
	// diskPoll is how often a disk is looked at that is full, or could be soon;
	// diskLongest how long one with much room is left alone. Nothing writes
	// faster than diskFastest, in bytes a second. Summing up the files of
	// --data-max may take a walkShare-th of the time.
	diskPoll    = 100 * time.Millisecond
	diskLongest = time.Second
	diskFastest = 8 << 30
	walkShare   = 50
)

// Disk watches over the room for a data directory: what the file system has
// free, and what may still be added. The zero Disk is never full.
type Disk struct {
	dir  string // empty: none, and never full
	most int64  // 0: as much as there is
	log  *slog.Logger

	full    atomic.Bool
	written atomic.Int64 // to the store since the files were summed up
	used    int64        // by the files, when summed up
	walk    time.Time    // when to sum up again
	room    int64        // until it is full, when it was looked at
}

// NewDisk returns a Disk that has been looked at once, over a directory that it
// makes. most bounds the bytes of all its files; 0: as much as there is.
func NewDisk(dir string, most int64, log *slog.Logger) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	d := &Disk{dir: dir, most: most, log: log}
	return d, d.look(time.Now())
}

// Full tells whether frames and segments must wait for room.
func (d *Disk) Full() bool { return d.full.Load() }

// Run looks until ctx is done.
func (d *Disk) Run(ctx context.Context) error {
	for timer := time.NewTimer(d.wait()); ; timer.Reset(d.wait()) {
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case now := <-timer.C:
			if err := d.look(now); err != nil {
				return err
			}
		}
	}
}

// wait is when to look again: before the room that there is can be used up,
// however fast. An idle process that looks ten times a second costs a tenth of
// what it costs in all.
func (d *Disk) wait() time.Duration {
	if d.dir == "" {
		return diskLongest
	}
	soon := time.Duration(d.room/(diskFastest/int64(time.Second/time.Microsecond))) * time.Microsecond
	return min(max(soon, diskPoll), diskLongest)
}

// look decides whether the disk is full. Once it is, it must have half a
// reserve more before it is not.
func (d *Disk) look(now time.Time) error {
	if d.dir == "" {
		return nil // nothing is kept here
	}
	free, all, err := Free(d.dir)
	if err != nil {
		return err
	}
	if d.most > 0 {
		if err := d.sum(now); err != nil {
			return err
		}
		free, all = min(free, d.most-d.used-d.written.Load()), min(all, d.most)
	}
	reserve := min(diskReserve, all/reserveShare)
	d.room = max(free-reserve, 0)
	if d.full.Load() {
		d.room = 0
	}
	switch full := d.full.Load(); {
	case !full && free < reserve:
		d.full.Store(true)
		d.log.Error("the disk is full: frames and segments wait for room", "dir", d.dir, "free_bytes", free, "reserve_bytes", reserve)
	case full && free > reserve+reserve/2:
		d.full.Store(false)
		d.log.Info("the disk has room again", "dir", d.dir, "free_bytes", free)
	}
	return nil
}

// sum adds up the sizes of all files, if it is time to.
func (d *Disk) sum(now time.Time) error {
	if now.Before(d.walk) {
		return nil
	}
	used, began := int64(0), time.Now()
	d.written.Store(0) // what comes meanwhile counts twice until the next time
	err := filepath.WalkDir(d.dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				used += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since it was listed
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil // somebody else's: lost+found of a volume is root's
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("sum up the data directory: %w", err)
	}
	d.used, d.walk = used, time.Now().Add(max(diskPoll, walkShare*time.Since(began)))
	return nil
}

// Before is a store on a Disk that may be full. Segments are refused then, with
// ErrFull, or wait below Persist; playlists and indexes are small, and have the
// reserve.
func (d *Disk) Before(s Store) Store { return diskStore{s, d} }

type diskStore struct {
	Store
	disk *Disk
}

// Put refuses a segment that the disk has no room for.
func (s diskStore) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	for object.KindOf(o.Key) == object.Segment && s.disk.full.Load() {
		if persistenceOf(ctx) == nil || ctx.Err() != nil {
			return "", fmt.Errorf("put object %s: %w", o.Key, ErrFull)
		}
		select {
		case <-time.After(diskPoll):
		case <-ctx.Done():
		}
	}
	s.disk.written.Add(int64(len(o.Body)))
	return s.Store.Put(ctx, o, c)
}
