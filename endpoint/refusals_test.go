package endpoint

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Operators see why publishes were refused, and never what streamers typed.
func TestRefusalsAreKept(t *testing.T) {
	const canary = "c4n4ry"
	kept := new(Refusals)
	s := listen(t, Config{Refusals: kept})
	for path, want := range map[string]string{
		"live/two%20words" + canary: "percent sign",
		"live/x/" + canary + "/y":   "too many parts",
	} {
		for range 2 {
			if _, err := Dial(t.Context(), "rtmp://"+s.addr+"/"+path); err == nil {
				t.Fatalf("%s: taken", path)
			}
		}
		last := kept.Last()[0]
		if !strings.Contains(last.Text, want) || last.Times != 2 || last.Reason != "name" || last.Remote != "127.0.0.1" || last.Transport != "rtmp" || time.Since(last.At) > time.Minute {
			t.Errorf("%s: kept is %+v, want what says %q, twice", path, last, want)
		}
	}
	if text := fmt.Sprintf("%+v", kept.Last()); strings.Contains(text, canary) || len(kept.Last()) != 2 {
		t.Errorf("kept: %s", text)
	}
}

// However many there are, a page of them is kept.
func TestRefusalsAreBounded(t *testing.T) {
	r := new(Refusals)
	for i := range 1000 {
		r.add(Refused{Reason: "name", Remote: fmt.Sprintf("10.0.%d.%d:4000", i/250, i%250)})
	}
	if all := r.Last(); len(all) != maxRefusals || all[0].Remote != "10.0.3.249" {
		t.Errorf("%d are kept, the newest of %s", len(all), all[0].Remote)
	}
}
