package api

import (
	"net/http"
	"time"
)

// Refusal is a publish that was refused, as operators are told of it: never by
// the name that the peer gave, which may be a key.
type Refusal struct {
	// Time is when that was last, Times how often: of the same peer, for the same
	// reason.
	Time  time.Time `json:"time"`
	Times int       `json:"times"`
	// Reason is one word, as logs and metrics have it; Text is what the encoder
	// was told.
	Reason string `json:"reason"`
	Text   string `json:"text,omitempty"`
	// Remote is the peer's address, Transport how it came, Encoder what it calls
	// itself.
	Remote    string `json:"remote,omitempty"`
	Transport string `json:"transport,omitempty"`
	Encoder   string `json:"encoder,omitempty"`
}

// Refusals is the answer to GET /api/v1/refusals.
type Refusals struct {
	Refusals []Refusal `json:"refusals"`
}

// refusals answers GET /api/v1/refusals.
func (h *Handler) refusals(w http.ResponseWriter, _ *http.Request) {
	list := []Refusal{} // none is an empty list
	if h.cfg.Refusals != nil {
		list = append(list, h.cfg.Refusals()...)
	}
	writeJSON(w, Refusals{list})
}
