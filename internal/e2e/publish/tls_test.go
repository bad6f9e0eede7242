//go:build unix

package publish

import (
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/testcert"
	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// ffmpeg publishes by RTMPS while the certificate is replaced: it goes on and
// loses no frame, and who comes next, to RTMPS and to HTTPS, is shown the new one.
// weir push comes in by an authority that it is told of.
func TestRTMPS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	testcert.Write(t, cert, key, 1, "localhost")
	port := func(address string) string { return address[strings.LastIndex(address, ":"):] }
	rtmps, https := testweir.FreeAddress(t), testweir.FreeAddress(t)
	s := testweir.Serve(t, "--rtmps", rtmps, "--https", https, "--tls-cert", cert, "--tls-key", key, "--segment", "1s")
	input := testmedia.MP4(t, testweir.Small(7))
	encoder := testweir.Publish(t, input, "rtmps://"+rtmps+"/live/alice")
	testweir.Eventually(t, 10*time.Second, "live/alice is live", func() bool {
		x, ok := s.Stream(t, "alice")
		return ok && x.Bitrate > 0
	})
	serial := func(address string) int64 {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(rtmps); n != 1 {
		t.Fatalf("certificate %d", n)
	}
	testcert.Write(t, cert, key, 2, "localhost")
	testweir.Eventually(t, 5*time.Second, "the new certificate is shown", func() bool { return serial(rtmps) == 2 && serial(https) == 2 })
	if encoder.Over() {
		t.Error("the encoder had ended before: this test shows less than it says")
	}
	if code := encoder.Wait(); code != 0 {
		t.Errorf("ffmpeg ended with %d", code)
	}
	prefix := s.WaitForEnd(t, "alice", 10*time.Second)
	if err := testmedia.SameFrames(testmedia.Probe(t, input), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Error(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	resp, err := client.Get("https://" + https + "/api/v1/server")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(body), `"url":"rtmps://127.0.0.1`+port(rtmps)+`/live"`) {
		t.Errorf("%d %s: encoders are told to come by TLS", resp.StatusCode, body)
	}
	flv := testmedia.FLV(t, testweir.Small(2))
	url := "rtmps://localhost" + port(rtmps) + "/live/bob"
	if code, said := testweir.RunIn(t, []string{"SSL_CERT_FILE=" + cert, "SSL_CERT_DIR=/nowhere"}, "push", "--once", "--fast", flv, url); code != 0 {
		t.Errorf("push: %d %s", code, said)
	}
}
