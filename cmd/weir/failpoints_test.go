//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"weir/internal/testweir"
	"weir/media/object"
	"weir/storage"
)

// TestMain runs the tests, or weir in a process of its own, for the tests in
// internal/e2e: this binary has the failpoints, and no other.
func TestMain(m *testing.M) {
	if os.Getenv(testweir.AsWeir) == "" {
		testweir.Main(m)
	}
	if plan := os.Getenv(testweir.FailAt); plan != "" {
		failingSegment(plan)
	}
	main()
}

// failingSegment is weir segment over a store that ends its own process.
func failingSegment(plan string) {
	ctx := context.Background()
	c, err := parseSegment(os.Args[1:])
	var store storage.Store
	if err == nil {
		store, err = c.storeFlags.open(ctx, "")
	}
	if err == nil {
		err = c.run(ctx, newFailing(store, plan), logFlags{}.logger(os.Stderr, false))
	}
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(exitFailed)
}

func parseSegment(args []string) (*segmentCmd, error) {
	var c cli
	parser, err := kong.New(&c, kong.DefaultEnvars("WEIR"), defaults())
	if err == nil {
		_, err = parser.Parse(args)
	}
	return &c.Segment, err
}

// The segmenter with failpoints reads its flags as the command does. (Where it
// does not, tests in internal/e2e/kill wait for it in vain.)
func TestFailingSegmentFlags(t *testing.T) {
	c, err := parseSegment([]string{"segment", "--nats", "nats://127.0.0.1:4222", "--store", "memory:", "--segment", "1s"})
	if err != nil || c.Segment != time.Second {
		t.Errorf("%+v, %v", c, err)
	}
}

// failing is a store that sends its own process a signal at one moment of a
// segmenter's life:
//
//	sent N  before the put of the Nth segment: what it sends comes late
//	put N   after the put of the Nth segment, before its checkpoint
//	cas N   after the checkpoint of the Nth segment, before its playlist
//	time D  so long after the first put began
type failing struct {
	storage.Store
	point  string
	signal syscall.Signal
	after  time.Duration

	mu       sync.Mutex
	segments int // put by this process
	left     int
}

// newFailing reads a plan: point, argument and signal number.
func newFailing(s storage.Store, plan string) *failing {
	f := &failing{Store: s}
	var arg string
	var number int
	if _, err := fmt.Sscan(plan, &f.point, &arg, &number); err != nil {
		panic(err)
	}
	f.signal = syscall.Signal(number)
	if f.point == "time" {
		d, err := time.ParseDuration(arg)
		if err != nil {
			panic(err)
		}
		f.after = d
		return f
	}
	n, err := strconv.Atoi(arg)
	if err != nil {
		panic(err)
	}
	f.left = n
	return f
}

func (f *failing) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	segment := strings.HasSuffix(o.Key, ".ts")
	// A store as slow as S3 may be, so that kills find a segmenter at work.
	time.Sleep(20 * time.Millisecond)
	f.mu.Lock()
	if segment && f.point == "time" && f.segments == 0 {
		time.AfterFunc(f.after, f.fire)
	}
	if f.point == "sent" && segment && f.segments+1 == f.left {
		f.left = 0
		f.fire()
	}
	if f.point == "cas" && f.segments >= f.left && f.left > 0 && strings.HasSuffix(o.Key, "/live.m3u8") {
		f.left = 0
		f.fire()
	}
	f.mu.Unlock()
	etag, err := f.Store.Put(ctx, o, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if segment {
		f.segments++
	}
	if f.point == "put" && segment && f.segments == f.left {
		f.fire()
	}
	return etag, err
}

func (f *failing) fire() {
	fmt.Fprintln(os.Stderr, "failpoint", f.point)
	_ = syscall.Kill(os.Getpid(), f.signal) // to ourselves: cannot fail
	if f.signal == syscall.SIGKILL {
		select {} // nothing more happens here
	}
	time.Sleep(50 * time.Millisecond) // until all threads have stopped; then until continued
}
