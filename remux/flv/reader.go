package flv

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// readStep is how far a Reader trusts a declared length before its bytes have
// arrived.
const readStep = 64 << 10

// Reader reads an FLV file tag by tag.
type Reader struct {
	r       io.Reader
	max     int
	buf     []byte
	started bool
}

// NewReader returns a Reader of the file in r. A tag with a body of more than
// maxBody bytes is an error; 0 means MaxBody. Memory grows as bytes arrive, to
// the largest body.
func NewReader(r io.Reader, maxBody int) *Reader {
	if maxBody <= 0 {
		maxBody = MaxBody
	}
	return &Reader{r: r, max: maxBody}
}

// Next returns the next tag; its Data is valid until the next call. The error
// at the end of the file is io.EOF, inside a tag ErrShortTag. PreviousTagSize
// is read over: files in the wild have it wrong, and it serves only to go
// backwards.
func (r *Reader) Next() (Tag, error) {
	if !r.started {
		if err := r.fileHeader(); err != nil {
			return Tag{}, err
		}
		r.started = true
	}
	head, err := r.read(tagHeader)
	if errors.Is(err, io.EOF) {
		return Tag{}, io.EOF
	} else if err != nil {
		return Tag{}, readError("read tag header", err)
	}
	t, size, err := parseTagHeader(head)
	if err != nil {
		return Tag{}, err
	}
	if size > r.max {
		return Tag{}, fmt.Errorf("%w: a tag of %d bytes, the limit is %d", ErrMalformed, size, r.max)
	}
	p, err := r.read(size + tagTrailer)
	if err != nil && len(p) < size { // a file may end without its last PreviousTagSize
		return Tag{}, readError("read tag body", err)
	}
	t.Data = p[:size]
	return t, nil
}

// fileHeader reads the header and PreviousTagSize0 [FLV E.2]. DataOffset says
// where the body begins, 9 "usually".
func (r *Reader) fileHeader() error {
	p, err := r.read(FileHeader)
	if err != nil {
		return readError("read file header", err)
	}
	if string(p[:3]) != "FLV" {
		return fmt.Errorf("%w: no FLV signature [FLV E.2]", ErrMalformed)
	}
	offset := int64(p[5])<<24 | int64(p[6])<<16 | int64(p[7])<<8 | int64(p[8])
	if offset < 9 {
		return fmt.Errorf("%w: DataOffset %d, want 9 or more [FLV E.2]", ErrMalformed, offset)
	}
	if _, err := io.CopyN(io.Discard, r.r, offset-9); err != nil {
		return readError("read file header", err)
	}
	return nil
}

// read returns the next n bytes. It allocates no more than twice what has
// arrived. The error is io.EOF only where not a byte was left; with any other
// error the bytes that did arrive are returned.
func (r *Reader) read(n int) ([]byte, error) {
	r.buf = r.buf[:0]
	for len(r.buf) < n {
		at := len(r.buf)
		step := min(n-at, max(readStep, at))
		r.buf = slices.Grow(r.buf, step)[:at+step]
		m, err := io.ReadFull(r.r, r.buf[at:])
		r.buf = r.buf[:at+m]
		if err == io.EOF && at > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return r.buf, err
		}
	}
	return r.buf, nil
}

// readError tells a file that ends too early from a source that failed.
func readError(doing string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", doing, ErrShortTag)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
