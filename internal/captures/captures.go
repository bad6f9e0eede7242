// Package captures plays what real encoders sent to a server, byte for byte:
// testdata/captures has it, and says how it was recorded.
package captures

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// Each calls fn, as a test of its own, with each connection of an encoder that
// published over RTMP in the clear.
func Each(t *testing.T, fn func(t *testing.T, sent []byte)) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "../../testdata/captures")
	files, err := filepath.Glob(dir + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		switch name {
		case "ffmpeg-5.1.9-rtmpt", "ffmpeg-9.0.2-rtmpe", "ffmpeg-9.0.2-rtmpe.keys", "rtmfpcpp-tcpublish-rtmfp":
			continue // HTTP, ciphertext, UDP
		}
		var about struct{ Kind string }
		if err := json.Unmarshal(read(t, file), &about); err != nil {
			t.Fatal(err)
		}
		if about.Kind != "publish" {
			continue
		}
		connections, err := filepath.Glob(filepath.Join(dir, name) + "*.c2s")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range connections {
			played++
			t.Run(strings.TrimSuffix(filepath.Base(c), ".c2s"), func(t *testing.T) { fn(t, read(t, c)) })
		}
	}
	if played < 20 {
		t.Errorf("%d connections were played: the captures are not where they were", played)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Publish is one publish of a connection.
type Publish struct {
	Stream string
	Tags   []flv.Tag
	Clean  bool
}

// Understand returns what a connection publishes, by the engine alone, whose own
// tests compare it with the recorder's account.
func Understand(t *testing.T, sent []byte) (all []Publish) {
	t.Helper()
	engine := rtmp.NewServer(rtmp.ServerConfig{})
	events, err := engine.Receive(time.Now(), sent)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		switch ev.Type {
		case rtmp.EventPublish:
			all = append(all, Publish{Stream: ev.App + "/" + ev.Name})
		case rtmp.EventTag:
			c := &all[len(all)-1]
			c.Tags = append(c.Tags, flv.Tag{Type: ev.Tag.Type, Timestamp: ev.Tag.Timestamp, Data: bytes.Clone(ev.Tag.Data)})
		case rtmp.EventUnpublish:
			all[len(all)-1].Clean = true
		}
	}
	return all
}
