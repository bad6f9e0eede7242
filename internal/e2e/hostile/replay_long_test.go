//go:build linux && soak

package hostile

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mutations are what becomes of a capture of a real client. The handshake, the
// first 3073 bytes, stays but for the first and the last.
var mutations = []func(r *rand.Rand, p []byte, other []byte) []byte{
	func(_ *rand.Rand, p, _ []byte) []byte { return p }, // replayed as it is
	func(r *rand.Rand, p, _ []byte) []byte { // bits flipped
		for range 1 + r.IntN(30) {
			p[3073+r.IntN(len(p)-3073)] ^= byte(1 << r.IntN(8))
		}
		return p
	},
	func(r *rand.Rand, p, _ []byte) []byte { // bytes missing
		at := 3073 + r.IntN(len(p)-3073)
		return slices.Delete(p, at, min(at+1+r.IntN(300), len(p)))
	},
	func(r *rand.Rand, p, _ []byte) []byte { // bytes twice
		at := 3073 + r.IntN(len(p)-3073)
		return slices.Insert(p, at, bytes.Clone(p[at:min(at+1+r.IntN(3000), len(p))])...)
	},
	func(r *rand.Rand, p, _ []byte) []byte { return p[:r.IntN(len(p))] }, // cut
	func(r *rand.Rand, p, other []byte) []byte { // two of them in one
		return append(p[:3073+r.IntN(len(p)-3073)], other[r.IntN(len(other)):]...)
	},
	func(r *rand.Rand, p, _ []byte) []byte { // numbers that are large
		for range 1 + r.IntN(10) {
			at := 3073 + r.IntN(len(p)-3073)
			for i := at; i < min(at+1+r.IntN(4), len(p)); i++ {
				p[i] = 0xff
			}
		}
		return p
	},
	func(r *rand.Rand, p, _ []byte) []byte { // anywhere
		p[r.IntN(len(p))] ^= byte(1 + r.IntN(255))
		return p
	},
}

// Two thousand connections that say what a real client said, changed: none
// stops or hangs the weir, and nothing is left of them.
func TestSoakReplay(t *testing.T) {
	names, err := filepath.Glob("../../../testdata/captures/*.c2s")
	if err != nil || len(names) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	var captures [][]byte
	for _, name := range names {
		p, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(p) > 3100 {
			captures = append(captures, p)
		}
	}
	const times = 2000
	s := showFor(t, 60, "--max-publishes-per-address", "100000")
	var next, took atomic.Int64
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			for i := next.Add(1) - 1; i < times; i = next.Add(1) - 1 {
				nc, err := dialFrom(s.Server, 5, byte(1+i%50))
				if err != nil {
					t.Error(err)
					return
				}
				p := mutations[i%int64(len(mutations))](r, bytes.Clone(captures[r.IntN(len(captures))]), captures[r.IntN(len(captures))])
				_ = nc.SetDeadline(time.Now().Add(patience))
				go func() { _, _ = io.Copy(io.Discard, nc) }() // ends with the connection
				n, _ := nc.Write(p)                            // it may be hung up on
				took.Add(int64(n))
				time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
				_ = nc.Close()
			}
		})
	}
	all.Wait()
	t.Logf("%d connections of %d captures, %d MB of theirs taken", times, len(captures), took.Load()>>20)
	s.end(t, budget(512<<20, 1000, 50))
}
