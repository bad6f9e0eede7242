package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"weir/media/object"
)

// Open begins to read an object; see [Store]. One request describes the object
// and streams it; a seek to elsewhere, or a connection that breaks, costs
// another one for the rest, under the condition that the object is still the
// same.
func (s *S3) Open(ctx context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	if err := admitRead(ctx, key); err != nil {
		return nil, object.Info{}, fmt.Errorf("open object: %w", err)
	}
	r, info, err := s.open(ctx, key)
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("open object %s: %w", key, err)
	}
	return r, info, nil
}

func (s *S3) open(ctx context.Context, key string) (*reader, object.Info, error) {
	body, info, err := s.stream(ctx, key, 0, "")
	if err != nil {
		return nil, object.Info{}, err
	}
	open := func(at int64) (*stream, error) {
		body, _, err := s.stream(ctx, key, at, info.ETag)
		return body, err
	}
	return &reader{open: open, size: info.Size, body: body}, info, nil
}

// stream requests an object from an offset on, of the version with the ETag
// where one is given. ctx covers the body, too, the attempt's timeout only the
// wait for it.
func (s *S3) stream(ctx context.Context, key string, at int64, etag string) (body *stream, info object.Info, err error) {
	input := &s3.GetObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.prefix + key), IfMatch: optional(etag)}
	if at > 0 {
		input.Range = aws.String(fmt.Sprintf("bytes=%d-", at))
	}
	_, err = s.attempts(ctx, &s.usage.Get, 0, func(attempt context.Context) error {
		streaming, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(attempt, cancel)
		output, err := s.client.GetObject(streaming, input)
		if !stop() { // the attempt took too long
			if err == nil {
				err = output.Body.Close()
			}
			err = errors.Join(attempt.Err(), err)
		}
		if err != nil {
			cancel()
			return err
		}
		body = &stream{output.Body, at, &s.usage.Get, s.config.AttemptTimeout, cancel}
		if info, err = inform(key, output.ContentLength, output.ETag, output.LastModified); err != nil {
			return errors.Join(err, body.Close())
		}
		return nil
	})
	return body, info, err
}

// stream is the body of an answer. A read from it fails where the store is
// silent for long.
type stream struct {
	body    io.ReadCloser
	at      int64 // the offset of its next byte in the object
	count   *Count
	silence time.Duration
	cancel  context.CancelFunc
}

func (s *stream) Read(p []byte) (int, error) {
	timer := time.AfterFunc(s.silence, s.cancel)
	defer timer.Stop()
	n, err := s.body.Read(p)
	s.at += int64(n)
	s.count.Bytes.Add(int64(n))
	return n, err
}

func (s *stream) Close() error {
	defer s.cancel()
	return s.body.Close()
}

// reader reads an object through streams of it. It requests one when it is
// read, so that seeks cost nothing.
type reader struct {
	open func(at int64) (*stream, error)
	size int64
	at   int64   // of the caller's next byte
	body *stream // nil for none
}

// Read reads on, through a new stream where the last one broke or is
// elsewhere.
func (r *reader) Read(p []byte) (int, error) {
	const attempts = 4 // in a row without a byte
	if r.at >= r.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	var err error
	for range attempts {
		if r.body != nil && r.body.at != r.at {
			r.drop()
		}
		if r.body == nil {
			if r.body, err = r.open(r.at); err != nil {
				return 0, err
			}
		}
		var n int
		n, err = r.body.Read(p)
		r.at += int64(n)
		if err != nil {
			r.drop()
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: read body: %w", ErrUnavailable, err)
}

// Seek moves to any offset from 0 on.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return r.at, errors.New("seek before the start of the object")
	}
	r.at = offset
	return offset, nil
}

// Close ends the reading.
func (r *reader) Close() error {
	r.drop()
	return nil
}

// drop gives up the stream. Where little of it is left it is read to its end,
// so that the connection can be used again. An error to close it says nothing
// about what was read before.
func (r *reader) drop() {
	const little = 64 << 10
	if r.body == nil {
		return
	}
	if r.size-r.body.at <= little {
		_, _ = io.Copy(io.Discard, r.body)
	}
	_ = r.body.Close()
	r.body = nil
}
