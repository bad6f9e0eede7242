package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// peers are the servers that can be started.
var peers = map[string]func(context.Context, *options, *server) error{
	"nginx-rtmp": startNginx,
	"serve":      startServe,
	"apart":      startApart,
}

// nginxConfig is nginx-rtmp with HLS as it is set up for little delay: one
// process, segments of 2 s, a window of 60 s as weir's.
const nginxConfig = `load_module %[3]s;
daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
rtmp { server { listen 127.0.0.1:%[2]d; chunk_size 4096; application live { live on; hls on; hls_path %[1]s/hls; hls_fragment 2s; hls_playlist_length 60s; } } }
`

func startNginx(ctx context.Context, o *options, s *server) error {
	modules, err := filepath.Glob("/usr/lib*/nginx/modules/ngx_rtmp_module.so")
	if err != nil || len(modules) == 0 {
		return fmt.Errorf("nginx has no RTMP module here: apt-get install nginx-light libnginx-mod-rtmp")
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	config := filepath.Join(s.dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, s.dir, port, modules[0]), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "hls"), 0o755); err != nil {
		return err
	}
	s.url, s.playlist = fmt.Sprintf("rtmp://127.0.0.1:%d/live/b", port), filepath.Join(s.dir, "hls", "{name}.m3u8")
	if err := s.start(o.nginx, "-p", s.dir, "-c", config); err != nil {
		return err
	}
	return listens(ctx, port)
}

func startServe(ctx context.Context, o *options, s *server) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	weir, err := filepath.Abs(o.weir)
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	s.url, s.playlist = fmt.Sprintf("rtmp://127.0.0.1:%d/live/b", ports[0]), filepath.Join(data, "objects", "live", "{name}", "index.m3u8")
	err = s.start(weir, "serve", "--data", data, "--segment", "2s", "--rtmp", address(ports[0]), "--http", address(ports[1]))
	if err != nil {
		return err
	}
	return ready(ctx, ports[1])
}

func startApart(ctx context.Context, o *options, s *server) error {
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	weir, err := filepath.Abs(o.weir)
	if err != nil {
		return err
	}
	objects := filepath.Join(s.dir, "objects")
	s.url, s.playlist = fmt.Sprintf("rtmp://127.0.0.1:%d/live/b", ports[1]), filepath.Join(objects, "live", "{name}", "index.m3u8")
	if err := s.start(o.nats, "-js", "-sd", filepath.Join(s.dir, "nats"), "-a", "127.0.0.1", "-p", fmt.Sprint(ports[0])); err != nil {
		return err
	}
	if err := listens(ctx, ports[0]); err != nil {
		return err
	}
	nats, store := fmt.Sprintf("nats://127.0.0.1:%d", ports[0]), "file://"+filepath.ToSlash(objects)
	for _, args := range [][]string{
		{"ingest", "--nats", nats, "--rtmp", address(ports[1]), "--http", address(ports[2])},
		{"segment", "--nats", nats, "--store", store, "--segment", "2s", "--http", address(ports[3])},
		{"origin", "--nats", nats, "--store", store, "--http", address(ports[4])},
	} {
		if err := s.start(weir, args...); err != nil {
			return err
		}
	}
	for _, port := range ports[2:] {
		if err := ready(ctx, port); err != nil {
			return err
		}
	}
	return nil
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func freePort() (int, error) {
	ports, err := freePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// freePorts finds ports that nobody listens on: nginx takes no port 0.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are found: they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// starting is how long a server may take to start on a busy machine.
const starting = 20 * time.Second

// listens waits until a port takes connections.
func listens(ctx context.Context, port int) error {
	return until(ctx, fmt.Sprintf("nobody listens on port %d", port), func() bool {
		c, err := net.Dial("tcp", address(port))
		if err == nil {
			_ = c.Close() // it was to see whether it can be had
		}
		return err == nil
	})
}

// ready waits until a weir says that it is.
func ready(ctx context.Context, port int) error {
	return until(ctx, fmt.Sprintf("what listens on port %d does not get ready", port), func() bool {
		resp, err := http.Get("http://" + address(port) + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close() // its status is all that counts
		return resp.StatusCode == http.StatusOK
	})
}

// until waits until something is so.
func until(ctx context.Context, why string, so func() bool) error {
	for end := time.Now().Add(starting); !so(); {
		if time.Now().After(end) {
			return fmt.Errorf("%s within %v", why, starting)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
