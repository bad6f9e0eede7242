package main

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"weir/endpoint"
	"weir/ingest"
	"weir/media"
	"weir/media/framelog"
)

// sink is a frame log that keeps nothing but counts.
type sink struct{ sessions, batches, lost atomic.Int64 }

func (s *sink) Check(context.Context, media.Stream) error { return nil }
func (s *sink) Open(context.Context, media.Stream, time.Time) (ingest.Writer, error) {
	s.sessions.Add(1)
	return s, nil
}

// sinkServer is the receiving end of weir, but for the log.
func sinkServer(log ingest.Log) *endpoint.Server {
	quiet := slog.New(slog.DiscardHandler)
	return endpoint.NewServer(endpoint.Config{
		Publisher: publisher{ingest.NewPublisher(ingest.Config{Log: log, Logger: quiet})}, Logger: quiet,
	})
}

func (s *sink) Append(context.Context, *framelog.Batch) error { s.batches.Add(1); return nil }
func (s *sink) Kicked() <-chan struct{}                       { return nil }
func (s *sink) Broadcast() string                             { return "b" }
func (s *sink) End(_ context.Context, clean bool) error {
	if !clean {
		s.lost.Add(1)
	}
	return nil
}

// Our encoder says that it understands a request to connect anew, and so is not
// cut by a server that drains: it has to go by itself, soon, and go on with the
// next server. Its broadcast must not end with the connection.
func TestPushGoesWhenAServerDrains(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := clipPusher(addr)
	pushed := make(chan error, 1)
	go func() { pushed <- p.run(ctx) }()

	log := new(sink)
	serve := func(ln net.Listener, drainAt int64) {
		life, drain := context.WithCancel(ctx)
		defer drain()
		served := make(chan error, 1)
		s := sinkServer(log)
		go func() { served <- s.Serve(life, ln) }()
		for deadline := time.Now().Add(30 * time.Second); log.batches.Load() < drainAt; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d batches in %d sessions after 30 s, want %d", log.batches.Load(), log.sessions.Load(), drainAt)
			}
		}
		drain()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second): // the clip has a key frame every few seconds
			t.Error("the server waits for an encoder that it has asked to go")
		}
	}
	serve(ln, 2)
	if log.lost.Load() != 1 {
		t.Error("the session ended cleanly, and its broadcast with it")
	}
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	serve(ln, log.batches.Load()+2)
	if n := log.sessions.Load(); n != 2 {
		t.Errorf("%d sessions, want one on each server", n)
	}
	cancel()
	<-pushed
}
