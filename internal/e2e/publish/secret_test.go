//go:build unix

package publish

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// canary is a secret in the query of a publish URL. In open mode the name is
// no secret, but what platforms append to it is one all the same.
const canary = "c4n4ry-s3cr3t"

// A secret in the query of the name or of tcUrl comes out nowhere: not in logs
// at their most talkative, metrics, the API, the page, playlists, segments and
// their names, and not on the bus.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t, "--log-level", "debug", "--segment", "2s")
	input := testmedia.FLV(t, testmedia.Spec{Seconds: 5, Video: true, Audio: true})
	testweir.FFmpeg(t, 4, input, s.URL("alice")+"?key="+canary)
	prefix := s.WaitForEnd(t, "alice", 5*time.Second)
	refuse := func(url string, args ...string) { // what is refused must not repeat it either
		_, said := testweir.Run(t, append([]string{"push", "--log-level", "debug", "--once", "--fast", input, url}, args...)...)
		if strings.Contains(said, canary) {
			t.Errorf("push %s repeats the secret:\n%s", strings.ReplaceAll(url, canary, "…"), said)
		}
	}
	refuse(s.URL("bob") + "?key=" + canary)
	refuse("rtmp://" + s.RTMP + "/live%20x?key=" + canary + "/bob?key=" + canary)
	refuse("rtmp://" + s.RTMP + "/live/..?key=" + canary)
	refuse("rtmp://" + s.RTMP + "/live/a%2fb?key=" + canary)
	refuse("rtmp://127.0.0.1:1/live/bob?key=" + canary)
	// OBS puts the query behind the app, and so into tcUrl and app.
	testweir.Tool(t, "ffmpeg", "-v", "error", "-nostdin", "-i", input, "-c", "copy", "-f", "flv",
		"-rtmp_app", "live", "-rtmp_tcurl", "rtmp://"+s.RTMP+"/live?key="+canary, "-rtmp_playpath", "carol", "rtmp://"+s.RTMP)
	s.WaitForEnd(t, "carol", 5*time.Second)

	for _, path := range []string{"/", "/metrics", "/api/v1/streams", "/hls/" + prefix + "vod.m3u8", "/hls/live/alice/index.m3u8"} {
		address := s.HTTP
		if path == "/metrics" {
			address = s.Admin
		}
		code, body := testweir.Get("http://" + address + path)
		if code != 200 || bytes.Contains(body, []byte(canary)) {
			t.Errorf("%s: %d, and the secret is in it: %t", path, code, bytes.Contains(body, []byte(canary)))
		}
	}
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if said := s.Output.String(); strings.Contains(said, canary) || !strings.Contains(said, "live/alice") || !strings.Contains(said, "live/carol") {
		t.Errorf("the log has the secret, or nothing at all:\n%s", said)
	}
	// All that is on the disk: objects with their names, and the whole of the
	// log and the registry as NATS keeps them.
	looked := 0
	err := filepath.WalkDir(s.Data, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		looked++
		if strings.Contains(name, canary) || bytes.Contains(body, []byte(canary)) {
			t.Errorf("the secret is in %s", strings.TrimPrefix(name, s.Data))
		}
		return nil
	})
	if err != nil || looked < 10 {
		t.Errorf("looked at %d files: %v", looked, err)
	}
}
