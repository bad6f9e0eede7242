package media

import (
	"encoding/json"
	"regexp"
	"testing"
)

// Metrics and logs name reasons: each has a name and a sentence of its own.
func TestDropReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range DropReasons() {
		if !regexp.MustCompile(`^[a-z_]+$`).MatchString(r.String()) || seen[r.String()] {
			t.Errorf("reason %d is called %q: want a name of its own", r, r.String())
		}
		if r.Sentence() == "" || seen[r.Sentence()] {
			t.Errorf("reason %d says %q: want a sentence of its own", r, r.Sentence())
		}
		seen[r.String()], seen[r.Sentence()] = true, true
	}
	if got := DropReason(200).Sentence(); got != "drop reason 200" {
		t.Errorf("an unknown reason says %q", got)
	}
}

func TestDrops(t *testing.T) {
	var d, before Drops
	d.Count(DropDamaged)
	before.Add(&d)
	d.Count(DropDamaged)
	d.Count(DropCodec)
	if more := d.Since(&before); more.Sum() != 2 || more[DropDamaged] != 1 {
		t.Errorf("since then %v, want one damaged and one of a foreign codec", more)
	}
	blob, err := json.Marshal(d)
	if err != nil || string(blob) != `{"codec":1,"damaged":2}` {
		t.Errorf("%s, %v: want counts by name", blob, err)
	}
	var back Drops
	if err := json.Unmarshal([]byte(`{"codec":1,"damaged":2,"of_a_newer_release":7}`), &back); err != nil || back != d {
		t.Errorf("read back %v, %v", back, err)
	}
	if !(Drops{}).IsZero() || d.IsZero() {
		t.Error("IsZero is wrong")
	}
	if json.Unmarshal([]byte(`[]`), &back) == nil {
		t.Error("an array is no count by name")
	}
}
