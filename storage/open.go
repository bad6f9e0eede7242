package storage

import (
	"context"
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
		return nil, fmt.Errorf("open store: %w", err)
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" && u.Host != "localhost" || u.Path == "" || u.RawQuery != "" {
			return nil, fmt.Errorf("open store: %q is not of the form file:///path", rawURL)
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
	return nil, fmt.Errorf("open store: %q is neither file:///path nor s3://bucket/prefix", rawURL)
}
