package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"weir/bus"
	"weir/hls"
	"weir/ingest"
	"weir/media"
	"weir/media/framelog"
	"weir/media/publishing"
	"weir/segmenter"
	"weir/storage"
)

// broken is a source that brings out a fault of the segmenter's.
type broken struct{}

func (broken) Read(context.Context, string, string, framelog.Position, func(*framelog.Batch, bool) error) error {
	panic("planted")
}

// A broadcast that makes its packager panic is released; the process and its
// other broadcasts live.
func TestPanicStaysInItsBroadcast(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), MaxBytes: 64 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closeBus(b, slog.Default())
	session, err := b.OpenSession(t.Context(), "", media.Stream{App: "live", Name: "alice"}, time.Now(), bus.Takeover)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := session.End(context.Background(), true); err != nil {
			t.Error(err)
		}
	}()
	w := &segmenter.Worker{Source: broken{}, Store: storage.NewMemory(), Log: slog.New(slog.DiscardHandler),
		Settings: hls.Settings{Segment: 4 * time.Second, Window: time.Minute}}
	ctx, cancel := context.WithCancel(t.Context())
	met := make(chan error, 16)
	handle := packageClaim(w)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Work(bus.Segment, bus.WorkConfig{}).Run(ctx, func(ctx context.Context, c *bus.Claim) error {
			err := handle(ctx, c)
			select {
			case met <- err:
			default:
			}
			return err
		})
	}()
	select {
	case err := <-met:
		if err == nil || !strings.Contains(err.Error(), "planted") {
			t.Errorf("the packager ended with %v, want its panic", err)
		}
	case <-time.After(time.Minute):
		t.Error("the broadcast was not claimed")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}

// As many streams of an owner may be live as its grant says, on all nodes; the
// same one may be taken over, and others' do not count.
func TestSessionsOfAnOwner(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), MaxBytes: 64 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closeBus(b, slog.Default())
	log := ingestLog{bus: b, ifLive: bus.Takeover}
	grant := func(name, owner string) publishing.Grant {
		return publishing.Grant{Stream: media.Stream{App: "live", Name: name}, Owner: owner, Limits: publishing.Limits{Sessions: 1}}
	}
	open := map[string]ingest.Writer{}
	for _, step := range []struct {
		name, owner string
		err         error
	}{
		{"a", "anna", nil},
		{"b", "anna", ingest.ErrTooMany},
		{"a", "anna", nil}, // it comes back
		{"c", "bert", nil},
	} {
		// What is live is told by a watch: it sees what was written a moment ago.
		g := grant(step.name, step.owner)
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if err = log.Check(t.Context(), g); errors.Is(err, step.err) || time.Now().After(end) {
				break
			}
		}
		if !errors.Is(err, step.err) {
			t.Fatalf("%+v: %v", step, err)
		}
		if err != nil {
			if _, err := log.Open(t.Context(), g, time.Now()); !errors.Is(err, step.err) {
				t.Errorf("%+v: %v where it opens", step, err)
			}
			continue
		}
		w, err := log.Open(t.Context(), g, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		open[step.name] = w
	}
	for _, w := range open {
		if err := w.End(t.Context(), true); err != nil {
			t.Error(err)
		}
	}
}
