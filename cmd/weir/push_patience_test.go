package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"weir/internal/testweir"
)

// clipPusher pushes the demo's clip to an address, as a test wants it.
func clipPusher(addr string) *pusher {
	return &pusher{
		url: "rtmp://" + addr + "/live/alice", loop: true, paced: true, again: true, log: slog.New(slog.DiscardHandler),
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(demoClip)), nil },
	}
}

// A server that was never there is an error that says what to look at, soon:
// whether nobody listens, or somebody who says nothing.
func TestPushGivesUpOnADeadAddress(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() }) // when both are done
	for name, addr := range map[string]string{"nobody listens": testweir.FreeAddress(t), "nobody answers": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := clipPusher(addr)
			p.patience = 1500 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			began := time.Now()
			err := p.run(ctx)
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "does an RTMP server run there") {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			if took := time.Since(began); took < time.Second || took > 10*time.Second {
				t.Errorf("it took %v, want some tries in %v", took, p.patience)
			}
		})
	}
}

// A connection that once stood is missed for longer than a first one is.
func TestPushWaitsForAServerItKnows(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	p := clipPusher(addr)
	p.patience = time.Second
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pushed := make(chan error, 1)
	go func() { pushed <- p.run(ctx) }()
	log := new(sink)
	serve := func(ln net.Listener, sessions int64) {
		life, end := context.WithCancel(ctx)
		served := make(chan error, 1)
		s := sinkServer(log)
		go func() { served <- s.Serve(life, ln) }()
		testweir.Eventually(t, 30*time.Second, "push is connected", func() bool { return log.sessions.Load() == sessions && log.batches.Load() > 0 })
		end()
		<-served
	}
	serve(ln, 1)
	select {
	case err := <-pushed:
		t.Fatalf("push gave up on a server that it had known: %v", err)
	case <-time.After(2 * time.Second): // twice its patience with strangers
	}
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	serve(ln, 2)
	cancel()
	<-pushed
}
