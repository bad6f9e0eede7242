package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/internal/testweir"
)

// health and streams find the weir beside them by the variables that it was
// given itself, as in its container; what is said to them comes first.
func TestHealthAddress(t *testing.T) {
	asked := ""
	running := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked = r.URL.Path; r.URL.Query().Has("no") {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	}))
	defer running.Close()
	address := running.Listener.Addr().String()
	_, port, _ := strings.Cut(address, ":")
	nobody := testweir.FreeAddress(t)
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		code int
	}{
		{"by --url", nil, []string{"--url", running.URL}, 0},
		{"by --url with a slash", nil, []string{"--url", running.URL + "/"}, 0},
		{"by WEIR_URL", map[string]string{"WEIR_URL": running.URL}, nil, 0},
		{"by --http", nil, []string{"--http", address}, 0},
		{"as the image sets it", map[string]string{"WEIR_HTTP": ":" + port}, nil, 0},
		{"on all addresses", map[string]string{"WEIR_HTTP": "0.0.0.0:" + port}, nil, 0},
		{"a URL comes first", map[string]string{"WEIR_HTTP": nobody, "WEIR_URL": running.URL}, nil, 0},
		{"a flag comes first", map[string]string{"WEIR_HTTP": nobody}, []string{"--http", address}, 0},
		{"nobody there", map[string]string{"WEIR_HTTP": nobody}, nil, exitFailed},
		{"not ready", nil, []string{"--url", running.URL + "/?no="}, exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			asked = ""
			c := start(t, append([]string{"health"}, tt.args...)...)
			<-c.ended
			if c.code != tt.code {
				t.Errorf("exit code %d, want %d; said %q", c.code, tt.code, c.output.String())
			}
			if c.code == 0 && asked != "/readyz" {
				t.Errorf("asked for %q, want what tells whether work is taken", asked)
			}
		})
	}
}
