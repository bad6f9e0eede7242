package jet

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// maxPayload is the largest message the embedded server takes. The log needs
// partBytes and its header; a State has at most 16 kB.
const maxPayload = 1 << 20

// syncEvery is how often what was written goes to the disk itself. NATS'
// default of two minutes is what a power cut takes back.
const syncEvery = time.Second

// startServer starts a NATS server inside this process that listens nowhere
// and keeps JetStream under dir.
func startServer(dir string) (*server.Server, error) {
	if dir == "" {
		return nil, errors.New("start nats: no directory to store in")
	}
	s, err := server.NewServer(&server.Options{
		ServerName:             "weir",
		DontListen:             true,
		NoSigs:                 true,
		NoLog:                  true,
		MaxPayload:             maxPayload,
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxMemory:     anyStore,
		JetStreamMaxStore:      anyStore,
		DisableJetStreamBanner: true,
		SyncInterval:           syncEvery,
	})
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		s.Shutdown()
		return nil, errors.New("start nats: not ready after 30 s")
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, fmt.Errorf("start nats: jetstream does not start under %s: in use, or not writable", dir)
	}
	return s, nil
}
