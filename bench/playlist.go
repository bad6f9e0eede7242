package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"weir/check"
	"weir/check/playlist"
)

// where is how objects are read: over HTTP, or from a directory, which costs
// the server nothing.
type where struct {
	template string // with {name}
	client   *http.Client
}

// maxRead bounds an object.
const maxRead = 64 << 20

// errAbsent: it is not there yet, or no more.
var errAbsent = errors.New("not there")

func newWhere(template string) (where, error) {
	w := where{template: template, client: &http.Client{Timeout: 10 * time.Second}}
	if !strings.Contains(template, "{name}") {
		return w, errors.New("the playlist's address lacks {name}, which stands for a stream's name")
	}
	return w, nil
}

// remote tells whether objects come over HTTP.
func (w where) remote() bool {
	return strings.HasPrefix(w.template, "http://") || strings.HasPrefix(w.template, "https://")
}

// entry is the address of a stream's playlist.
func (w where) entry(name string) string { return strings.ReplaceAll(w.template, "{name}", name) }

// read reads an object.
func (w where) read(ctx context.Context, name string) ([]byte, error) {
	if !w.remote() {
		b, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			err = errAbsent
		}
		return b, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, err
	}
	resp, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxRead))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone || resp.StatusCode == http.StatusServiceUnavailable:
		return nil, errAbsent
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("read %s: %s", name, resp.Status)
	}
	return b, nil
}

// resolve is the address of what a playlist lists.
func (w where) resolve(base, ref string) string {
	if !w.remote() {
		return filepath.Join(filepath.Dir(base), filepath.FromSlash(playlist.Path(ref)))
	}
	b, err := url.Parse(base)
	if err != nil {
		return ref
	}
	r, err := b.Parse(ref)
	if err != nil {
		return path.Join(path.Dir(base), ref)
	}
	return r.String()
}

// listing is a media playlist that was read.
type listing struct {
	address string
	entries []playlist.Segment
}

// media reads the media playlist at an address, or the first one that the
// multivariant playlist there names.
func (w where) media(ctx context.Context, address string) (listing, error) {
	for range 3 { // a multivariant playlist names media playlists only
		text, err := w.read(ctx, address)
		if err != nil {
			return listing{}, err
		}
		var r check.Report
		p := playlist.Parse(address, string(text), nil, &r)
		if len(p.Variants) == 0 {
			return listing{address, p.Segments}, nil
		}
		address = w.resolve(address, p.Variants[0].URI)
	}
	return listing{}, fmt.Errorf("read playlist: %s leads to no media playlist", address)
}
