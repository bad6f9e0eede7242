package hls

import (
	"encoding/json"
	"fmt"
)

// run is the stored form of an index object: a run of entries that left the
// live window.
type run struct {
	First   uint64  `json:"first"`
	Entries []Entry `json:"entries"`
}

// EncodeRun returns the index object of run number, of RunLength entries.
func EncodeRun(number uint64, entries []Entry) []byte {
	b, err := json.Marshal(run{First: number * RunLength, Entries: entries})
	if err != nil {
		panic(err) // numbers and strings only
	}
	return b
}

// ParseRun is the inverse of EncodeRun.
func ParseRun(number uint64, body []byte) ([]Entry, error) {
	var r run
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("parse index object %d: %w", number, err)
	}
	if r.First != number*RunLength || len(r.Entries) != RunLength {
		return nil, fmt.Errorf("parse index object %d: it holds %d entries from %d", number, len(r.Entries), r.First)
	}
	return r.Entries, nil
}
