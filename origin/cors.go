package origin

import (
	"net/http"
	"slices"
)

const allowMethods = "GET, HEAD, OPTIONS"

// allowOrigin lets pages of other web origins play (Fetch, 3.2). It also tells
// caches where the answer depends on who asked.
func (h *Handler) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	allowed := "*"
	if len(h.cfg.AllowOrigins) > 0 && !slices.Contains(h.cfg.AllowOrigins, "*") {
		w.Header().Add("Vary", "Origin")
		allowed = r.Header.Get("Origin")
		if !slices.Contains(h.cfg.AllowOrigins, allowed) {
			return false
		}
	}
	w.Header().Set("Access-Control-Allow-Origin", allowed)
	w.Header().Set("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, Date, ETag")
	// Players measure the network by it (Resource Timing, 3.5).
	w.Header().Set("Timing-Allow-Origin", allowed)
	return true
}

// options answers OPTIONS, and with it the preflight of a browser.
func (h *Handler) options(w http.ResponseWriter, r *http.Request, route string) {
	w.Header().Set("Allow", allowMethods)
	if (route == "playlist" || route == "segment") && h.allowOrigin(w, r) {
		w.Header().Set("Access-Control-Allow-Methods", allowMethods)
		w.Header().Set("Access-Control-Allow-Headers", "*")
		w.Header().Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}
