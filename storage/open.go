package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Open opens the store at a URL, as the --store flag takes it:
//
//	file:///path                      a Directory
//	s3://bucket/prefix?endpoint=…     an S3, see ParseS3
//	memory:                           a Memory of its own
func Open(ctx context.Context, rawURL string) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", withoutURL(err))
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" && u.Host != "localhost" || u.Path == "" || u.RawQuery != "" {
			return nil, errors.New("open store: not of the form file:///path")
		}
		return NewDirectory(u.Path)
	case "s3":
		c, err := ParseS3(rawURL)
		if err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
		return NewS3(ctx, c)
	case "memory":
		return NewMemory(), nil
	}
	return nil, errors.New("open store: neither file:///path nor s3://bucket/prefix?…")
}
