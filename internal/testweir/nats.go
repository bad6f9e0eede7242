//go:build unix

package testweir

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/external"
)

// NATSServer is a real one, on addresses that it keeps when started again.
type NATSServer struct {
	*Process
	args []string
	Addr string
}

// natsBinary is built from the tools' module once, where it is missing.
var natsBinary = sync.OnceValues(func() (string, error) {
	dir, err := Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bin", "nats-server")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.Command("go", "-C", filepath.Join(dir, "internal", "tools"), "install", "github.com/nats-io/nats-server/v2")
	cmd.Env = append(os.Environ(), "GOBIN="+filepath.Dir(path))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return path, nil
})

// Start starts the server, also again after its end, and waits until it
// listens.
func (s *NATSServer) Start(t testing.TB) {
	t.Helper()
	external.Need(t, "nats-server")
	binary, err := natsBinary()
	if err != nil {
		t.Fatal(err)
	}
	s.Process = Spawn(t, nil, binary, s.args...)
	Eventually(t, 20*time.Second, "nats-server listens", func() bool {
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// StartNATS starts n servers, a cluster if they are several.
func StartNATS(t testing.TB, dir string, n int) (all []*NATSServer) {
	t.Helper()
	var routes []string
	for range n {
		routes = append(routes, "nats://"+FreeAddress(t))
	}
	for i := range n {
		s := &NATSServer{Addr: FreeAddress(t)}
		host, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		s.args = []string{"-a", host, "-p", port, "-n", fmt.Sprint("n", i), "-js", "-sd", filepath.Join(dir, fmt.Sprint("nats", i))}
		if n > 1 {
			s.args = append(s.args, "-cluster_name", "c", "-cluster", routes[i], "-routes", strings.Join(routes, ","))
		}
		all = append(all, s)
	}
	for _, s := range all {
		s.Start(t)
	}
	return all
}

// NATSURL is what --nats takes for some servers.
func NATSURL(all []*NATSServer) string {
	var urls []string
	for _, s := range all {
		urls = append(urls, "nats://"+s.Addr)
	}
	return strings.Join(urls, ",")
}
