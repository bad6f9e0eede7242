package ingest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// captured is what a connection of a capture publishes.
type captured struct{ tags []flv.Tag }

// understand runs a captured connection through the engine, whose own tests
// compare it with the recorder's account.
func understand(t *testing.T, capture []byte) (all []captured) {
	t.Helper()
	engine := rtmp.NewServer(rtmp.ServerConfig{})
	events, err := engine.Receive(time.Now(), capture)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		switch ev.Type {
		case rtmp.EventPublish:
			all = append(all, captured{})
		case rtmp.EventTag:
			c := &all[len(all)-1]
			c.tags = append(c.tags, flv.Tag{Type: ev.Tag.Type, Timestamp: ev.Tag.Timestamp, Data: bytes.Clone(ev.Tag.Data)})
		}
	}
	return all
}

// TestCaptures makes batches of what real encoders sent.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("../testdata/captures/*.json")
	if err != nil {
		t.Fatal(err)
	}
	replayed := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		switch name {
		case "ffmpeg-5.1.9-rtmpt", "ffmpeg-9.0.2-rtmpe", "ffmpeg-9.0.2-rtmpe.keys", "rtmfpcpp-tcpublish-rtmfp":
			continue // HTTP, ciphertext, UDP
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var about struct{ Kind string }
		if err := json.Unmarshal(text, &about); err != nil {
			t.Fatal(err)
		}
		if about.Kind != "publish" {
			continue
		}
		connections, err := filepath.Glob("../testdata/captures/" + name + "*.c2s")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range connections {
			replayed++
			t.Run(strings.TrimSuffix(filepath.Base(c), ".c2s"), func(t *testing.T) { replay(t, c) })
		}
	}
	if replayed < 20 {
		t.Errorf("%d connections replayed: the captures are not where they were", replayed)
	}
}

// replay makes batches of what a capture publishes.
func replay(t *testing.T, file string) {
	capture, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(Config{Batch: time.Millisecond})
	opened := 0
	for _, c := range understand(t, capture) {
		l := d.publish(t, "alice")
		l.send(c.tags...)
		l.unpublish()
		if l.batcher.MediaAt().IsZero() {
			continue
		}
		checkBatches(t, BatcherConfig{}, c.tags, d.log.ended(t, opened).pointers())
		opened++
	}
	if opened != len(d.log.sessions) {
		t.Errorf("%d sessions, want the %d with media", len(d.log.sessions), opened)
	}
}
