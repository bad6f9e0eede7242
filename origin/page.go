package origin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed page
var pageFiles embed.FS

// asset is one file of the page.
type asset struct {
	body        []byte
	contentType string
	tag         string
	gzipped     func() []byte // nil where it is not worth it
}

// assetTypes are the content types of the page's files. A file of another
// kind is not served.
var assetTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	"":      "text/plain; charset=utf-8", // LICENSE
}

// loadAssets returns the page's files by URL path: index.html is /, the rest
// stands under /page/.
func loadAssets() map[string]*asset {
	assets := make(map[string]*asset)
	// The file system is compiled in: it gives no errors.
	_ = fs.WalkDir(pageFiles, ".", func(name string, d fs.DirEntry, _ error) error {
		contentType, ok := assetTypes[path.Ext(name)]
		if d.IsDir() || !ok {
			return nil
		}
		body, _ := pageFiles.ReadFile(name)
		sum := sha256.Sum256(body)
		a := &asset{body: body, contentType: contentType, tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
		if len(body) > 1024 {
			a.gzipped = sync.OnceValue(func() []byte { return gzipped(body) })
		}
		assets["/"+name] = a
		return nil
	})
	assets["/"] = assets["/page/index.html"]
	delete(assets, "/page/index.html")
	return assets
}

// contentPolicy keeps the page to what it is made of (CSP3): its own files,
// the streams of this server or of baseURL, and what the player makes of them
// (blob: for Media Source Extensions and the player's worker).
func contentPolicy(baseURL *url.URL) string {
	media := "'self'"
	if baseURL != nil && baseURL.Host != "" {
		media += " " + baseURL.Scheme + "://" + baseURL.Host
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		"connect-src " + media,
		"media-src blob: " + media,
		"worker-src blob:",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'self'",
	}, "; ")
}

// page answers with a file of the page. Browsers ask each time whether it is
// still the same one: a new release shows at once.
func (h *Handler) page(w http.ResponseWriter, r *http.Request, a *asset) {
	header := w.Header()
	header.Set("Content-Security-Policy", h.policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Content-Type", a.contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", a.tag)
	body := a.body
	if a.gzipped != nil {
		header.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			body = a.gzipped()
			header.Set("ETag", gzipTag(a.tag))
			setGzip(w, len(body))
		}
	}
	h.allowTime(w, int64(len(body)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
