// Package chromium opens pages in a real Chromium, for tests that want to know
// what a viewer sees: what plays, what it looks like, and what went wrong.
//
// A test that calls it where chromium is missing fails.
package chromium

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"weir/internal/external"
)

const (
	// life bounds a tab, patience a Wait.
	life     = 2 * time.Minute
	patience = 30 * time.Second
)

// Tab is a tab of a Chromium of its own, which lives as long as the test.
type Tab struct {
	t testing.TB
	// Of this tab: chromedp knows tabs by their contexts.
	do       func(...chromedp.Action[chromedp.Void]) error
	evaluate func(expression string) (any, error)
	capture  func() ([]byte, error)

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// Open starts a Chromium with an empty tab.
func Open(t testing.TB) *Tab {
	t.Helper()
	external.Need(t, "chromium")
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("this is tested in a real browser: install chromium (Debian: apt-get install chromium):", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	deadline, cancel := context.WithTimeout(context.Background(), life)
	t.Cleanup(cancel)
	allocator, cancel := chromedp.NewExecAllocator(deadline, options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &Tab{
		t:  t,
		do: func(steps ...chromedp.Action[chromedp.Void]) error { return chromedp.Do(ctx, steps...) },
		evaluate: func(expression string) (any, error) {
			return chromedp.Run(ctx, chromedp.Evaluate[any](expression, chromedp.EvalAwaitPromise))
		},
		capture: func() ([]byte, error) { return chromedp.Run(ctx, chromedp.CaptureScreenshot()) },
	}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal("start chromium:", err)
	}
	console := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() { b.read(console) })
	t.Cleanup(func() { cancel(); reading.Wait() })
	return b
}

// listen notes what the tab asks for.
func (b *Tab) listen(event any) {
	if r, ok := event.(*network.EventRequestWillBeSent); ok {
		b.mu.Lock()
		b.requests = append(b.requests, r.Request.URL)
		b.mu.Unlock()
	}
}

// read notes what the console says, until the tab is closed.
func (b *Tab) read(console func(yield func(chromedp.ConsoleMessage, error) bool)) {
	for m, err := range console {
		if err != nil {
			return
		}
		if m.Type == "error" || m.Type == "warning" || m.Type == chromedp.ConsoleException {
			b.mu.Lock()
			b.complaints = append(b.complaints, string(m.Type)+": "+m.Text+" "+m.URL)
			b.mu.Unlock()
		}
	}
}

// Load loads a page in a window of that size, in pixels.
func (b *Tab) Load(url string, width, height int64) {
	b.t.Helper()
	b.Do("load the page", chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
}

// Do does what a viewer does, clicks for example. What names it in errors.
func (b *Tab) Do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := b.do(steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// Eval returns the value of an expression of JavaScript, or that of its
// promise, as JSON.
func (b *Tab) Eval(expression string) string {
	b.t.Helper()
	v, err := b.evaluate(expression)
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out)
}

// Wait waits until an expression is true. What says what then does not happen.
func (b *Tab) Wait(what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); b.Eval(expression) != "true"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s: not within %v\npage: %s\ncomplaints: %q", what, patience, b.Eval("document.body.innerText"), b.Complaints())
		}
	}
}

// Screenshot is what the window shows.
func (b *Tab) Screenshot() image.Image {
	b.t.Helper()
	shot, err := b.capture()
	if err != nil {
		b.t.Fatal("take a screenshot:", err)
	}
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		b.t.Fatal("read a screenshot:", err)
	}
	return img
}

// Complaints are the errors, the warnings and the exceptions so far.
func (b *Tab) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.complaints)
}

// Requests are the URLs that the tab has asked for.
func (b *Tab) Requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}
