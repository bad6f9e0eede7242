package inputs

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/media"
)

var shows = flag.Int("shows", 8, "how many shows at random")

// Whatever an encoder does, and in whatever order: no rule is broken, every
// segment has every track, each frame is there or counted, pictures and sound that
// came together are shown together, and a worker that is killed changes nothing.
func TestAnyInput(t *testing.T) {
	for seed := range uint64(*shows) {
		rng := rand.New(rand.NewPCG(seed, 11))
		f := New(60)
		f.Seed, f.BFrames, f.Slices = seed, 2*rng.IntN(2), 1+rng.IntN(3)
		in := f.Input()
		var events []Event
		for at := time.Duration(0); ; {
			at += 3*second + time.Duration(rng.Int64N(int64(7*second)))
			if at > 50*second {
				break
			}
			e := Draw(rng, at, 6*second, in[0], in[1])
			events, in, at = append(events, e), e.Fault(in), at+e.Long
		}
		sound := torture(t, in, events)
		if !sound {
			t.Logf("seed %d:", seed)
			for _, e := range events {
				t.Log(e)
			}
		}
	}
}

// torture sends an input of 60 s and tells whether it came out sound.
func torture(t *testing.T, in Input, events []Event) (sound bool) {
	before := t.Failed()
	failed := false
	errorf := func(format string, args ...any) { t.Errorf(format, args...); failed = true }
	batches := Log(t, second, in)
	p := Cut(t, twoSeconds, batches, nil)
	p.Sound(t)
	a := p.Account(in)
	missing := uint64(len(a.Missing[media.Video]) + len(a.Missing[media.Audio]))
	if missing > p.Dropped.Sum() || a.Disordered > 0 || a.Again[media.Audio] > 0 {
		errorf("missing %d, dropped %v, %+v", missing, p.Dropped, a)
	}
	apart := slices.DeleteFunc(p.Apart(in), func(x Apart) bool {
		return slices.ContainsFunc(events, func(e Event) bool { return e.Holds && x.Shown >= e.At-second/5 && x.Shown <= e.At+e.Long+second/5 })
	})
	if w := Worst(apart); w.By.Abs() > 300*ms {
		errorf("the picture of %v is %v off its sound", w.Shown, w.By)
	}
	// What a jump of the clock adds, or takes out, is bounded by what is believed.
	var sum, most int64 = 0, 62_000
	for _, e := range p.Entries {
		sum += e.DurationMS
	}
	for range events {
		most += 10_000
	}
	if sum < 60_000-7_000*int64(len(events)) || sum > most {
		errorf("the show of 60 s lasts %d ms", sum)
	}
	return !failed && before == t.Failed()
}
