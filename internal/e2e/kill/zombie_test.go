//go:build unix

package kill

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// A worker is frozen for as long as another needs to own its broadcast and to
// make segments of its own.
func TestZombie(t *testing.T) {
	t.Parallel()
	zombies(t, testweir.WorkerLease+2*time.Second, 12)
}

// zombies freeze a worker, which loses its broadcast, and wake it up: at a
// random moment, while it waits for the store or for NATS, or between the two.
// There is one playlist all the time, and the zombie leaves without a write.
func zombies(t *testing.T, frozen time.Duration, seconds int) {
	for _, tt := range []struct {
		name string
		plan string // of its store
		icy  *icyWire
	}{
		{"anywhere", "", nil},
		{"segment sent and not stored", fmt.Sprintf("sent 4 %d", syscall.SIGSTOP), nil},
		{"between put and checkpoint", fmt.Sprintf("put 4 %d", syscall.SIGSTOP), nil},
		{"checkpoint sent and not stored", "", &icyWire{late: true}},
		{"checkpoint stored and not answered", "", &icyWire{}},
		{"between checkpoint and playlist", fmt.Sprintf("cas 4 %d", syscall.SIGSTOP), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testweir.NewCluster(t, 1)
			var wire []string
			if tt.icy != nil {
				wire = []string{"--nats", tt.icy.start(t, c.NATS[0].Addr)}
			}
			in, first := c.Ingest(t), c.Segmenter(t, tt.plan, wire...)
			file := testmedia.MP4(t, testweir.Small(seconds))
			encoders, viewers := c.Shows(t, in, file, 1)
			second := c.Segmenter(t, "")
			switch {
			case tt.icy != nil:
				tt.icy.victim.Store(first)
			case tt.plan == "":
				time.Sleep(2 * time.Second)
				first.Send(t, syscall.SIGSTOP)
			}
			testweir.Eventually(t, 20*time.Second, "the second worker owns it", func() bool { return c.Owns(t, second, 1) })
			time.Sleep(frozen - testweir.WorkerLease) // the newcomer makes its own segments
			if tt.icy != nil {
				tt.icy.let()
			}
			first.Send(t, syscall.SIGCONT)
			testweir.Eventually(t, 10*time.Second, "the zombie has left", func() bool {
				return strings.Contains(first.Output.String(), "lost to another worker")
			})
			if !c.Owns(t, second, 1) {
				t.Error("the zombie has taken the broadcast back")
			}
			pause := c.Finish(t, file, encoders, viewers)
			t.Logf("frozen %s for %v and more: one playlist, all frames once; longest pause %v", tt.name, frozen, pause.Round(time.Millisecond))
		})
	}
}

// icyWire freezes a worker that has just sent its second checkpoint to NATS.
type icyWire struct {
	late bool // the checkpoint gets there when let is called, and not before

	victim      atomic.Pointer[testweir.Node] // nil: nobody yet
	checkpoints atomic.Int32
	thaw        chan struct{}
	let         func()
}

// start returns the URL of NATS for the worker.
func (w *icyWire) start(t testing.TB, nats string) (url string) {
	t.Helper()
	w.thaw = make(chan struct{})
	w.let = sync.OnceFunc(func() { close(w.thaw) })
	p := faultproxy.StartTCP(t, func(_ int, sent []byte) {
		victim := w.victim.Load()
		if victim == nil || !bytes.Contains(sent, []byte("HPUB $KV.weir-state.")) || w.checkpoints.Add(1) != 2 {
			return
		}
		_ = victim.Signal(syscall.SIGSTOP) // the test sees what comes of it
		if w.late {
			<-w.thaw
		}
	}, nats)
	t.Cleanup(w.let)
	return "nats://" + p.Addr
}
