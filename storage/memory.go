package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/media/object"
)

// Memory keeps objects in the process, without a bound: for tests, and for
// shows that need not outlive it.
type Memory struct {
	usage   Usage
	mu      sync.RWMutex
	objects map[string]memoryObject
}

// memoryObject is never changed once it is in the map.
type memoryObject struct {
	body []byte
	info object.Info
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{objects: make(map[string]memoryObject)}
}

// Usage counts what the store was asked for.
func (m *Memory) Usage() *Usage { return &m.usage }

// Put writes o where c holds; see [Store].
func (m *Memory) Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error) {
	defer func() { m.usage.Put.note(int64(len(o.Body)), err) }()
	if err := admit(ctx, o.Key); err != nil {
		return "", fmt.Errorf("put object: %w", err)
	}
	etag = contentTag(sha256.Sum256(o.Body))
	body := bytes.Clone(o.Body)

	m.mu.Lock()
	defer m.mu.Unlock()
	if !admits(c, m.objects[o.Key].info.ETag) {
		return "", fmt.Errorf("put object %s: %w", o.Key, object.ErrPrecondition)
	}
	m.objects[o.Key] = memoryObject{body, object.Info{Key: o.Key, Size: int64(len(body)), ETag: etag, Modified: time.Now()}}
	return etag, nil
}

// Get reads an object whole; see [Store].
func (m *Memory) Get(ctx context.Context, key string) (body []byte, info object.Info, err error) {
	defer func() { m.usage.Get.note(int64(len(body)), err) }()
	o, err := m.lookup(ctx, key)
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("get object: %w", err)
	}
	return append([]byte{}, o.body...), o.info, nil
}

// Stat describes an object; see [Store].
func (m *Memory) Stat(ctx context.Context, key string) (info object.Info, err error) {
	defer func() { m.usage.Stat.note(0, err) }()
	o, err := m.lookup(ctx, key)
	if err != nil {
		return object.Info{}, fmt.Errorf("stat object: %w", err)
	}
	return o.info, nil
}

// Open reads an object piecemeal; see [Store]. The bytes are not copied.
func (m *Memory) Open(ctx context.Context, key string) (body io.ReadSeekCloser, info object.Info, err error) {
	defer func() { m.usage.Get.note(info.Size, err) }()
	o, err := m.lookup(ctx, key)
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("open object: %w", err)
	}
	return memoryReader{bytes.NewReader(o.body)}, o.info, nil
}

// List yields the objects there are when it begins; see [Store].
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		err := ctx.Err()
		m.usage.List.note(0, err)
		if err != nil {
			yield(object.Info{}, fmt.Errorf("list objects: %w", err))
			return
		}
		for _, info := range m.withPrefix(prefix) {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Delete removes an object; see [Store].
func (m *Memory) Delete(ctx context.Context, key string) (err error) {
	defer func() { m.usage.Delete.note(0, err) }()
	if err := admit(ctx, key); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

func (m *Memory) lookup(ctx context.Context, key string) (memoryObject, error) {
	if err := admitRead(ctx, key); err != nil {
		return memoryObject{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	o, ok := m.objects[key]
	if !ok {
		return memoryObject{}, fmt.Errorf("%s: %w", key, object.ErrNotExist)
	}
	return o, nil
}

func (m *Memory) withPrefix(prefix string) []object.Info {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var infos []object.Info
	for key, o := range m.objects {
		if strings.HasPrefix(key, prefix) {
			infos = append(infos, o.info)
		}
	}
	slices.SortFunc(infos, func(a, b object.Info) int { return strings.Compare(a.Key, b.Key) })
	return infos
}

type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }
