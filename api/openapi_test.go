package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// answer is what the description says of a status of an operation: the schema
// of each content type, by reference.
type answer map[string]string

// readOpenAPI returns the answers of the description, as in
// "GET /api/v1/streams 200", and the operations, as in "GET /api/v1/streams".
func readOpenAPI(t *testing.T) (answers map[string]answer, operations []string) {
	t.Helper()
	type response struct {
		Ref     string `json:"$ref"`
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
	var doc struct {
		Components struct{ Responses map[string]response }
		Paths      map[string]map[string]struct{ Responses map[string]response }
	}
	if err := json.Unmarshal(openAPIText, &doc); err != nil {
		t.Fatal(err)
	}
	answers = make(map[string]answer)
	for path, methods := range doc.Paths {
		for method, o := range methods {
			operation := strings.ToUpper(method) + " " + path
			operations = append(operations, operation)
			for status, r := range o.Responses {
				if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
					r = doc.Components.Responses[name]
				}
				a := make(answer)
				for kind, c := range r.Content {
					a[kind] = c.Schema.Ref
				}
				answers[operation+" "+status] = a
			}
		}
	}
	return answers, operations
}

// schemas compiles the description's schemas: those of OpenAPI 3.1 are JSON
// Schema 2020-12.
func schemas(t *testing.T) (compile func(reference string) *jsonschema.Schema) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPIText))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return func(reference string) *jsonschema.Schema {
		s, err := c.Compile("openapi.json" + reference)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// The description and the handlers are held against each other: the same
// operations, and of each every answer that is described and no other, of the
// type and form that it is described with.
func TestOpenAPI(t *testing.T) {
	described, operations := readOpenAPI(t)
	compile := schemas(t)
	well := Config{
		Registry:  known{list: sampleStreams(time.Now()), live: "live/alice", scale: Scale{BehindSeconds: 0.5}},
		Playlists: located{"live/alice/20261121T014500Z-k3v9m2x8q0r7t5wz/index.m3u8": "/hls/live/alice/index.m3u8"},
		Metrics:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "weir_up 1") }),
		Publish:   Publish{Port: 1935}, Version: "1.0", Log: quiet(),
		Refusals: func() []Refusal {
			return []Refusal{{Time: time.Now().UTC(), Times: 2, Reason: "name", Text: "The stream key is empty.", Remote: "192.0.2.1", Transport: "rtmpe", Encoder: "obs-output module"}}
		},
	}
	ill := well
	ill.Refusals = nil
	ill.Registry = known{err: errors.New("away")}
	ill.Parts = []Part{{Name: "nats", Check: func(context.Context) error { return errors.New("away") }}}
	well.Access = Access{Token: "s3cret", Public: true}
	ill.Access = well.Access
	operator := func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3cret") }
	page := func(r *http.Request) { operator(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }
	viewer := func(*http.Request) {}

	seen := make(map[string]bool)
	for _, cfg := range []Config{well, ill} {
		h := New(cfg)
		var answered []string
		for _, e := range h.endpoints() {
			answered = append(answered, e.method+" "+e.path)
		}
		if slices.Sort(answered); !slices.Equal(answered, slices.Sorted(slices.Values(operations))) {
			t.Fatalf("openapi.json describes %v, and answered are %v", operations, answered)
		}
		for _, operation := range operations {
			method, pattern, _ := strings.Cut(operation, " ")
			for _, name := range []string{"alice", "nobody", "b%00b"} {
				for _, change := range []func(*http.Request){viewer, operator, page} {
					path := strings.NewReplacer("{app}", "live", "{name}", name).Replace(pattern)
					if name == "b%00b" {
						path += "?limit=all"
					}
					res := ask(h, method, path, change)
					what := fmt.Sprint(operation, " ", res.StatusCode)
					a, ok := described[what]
					if !ok {
						t.Errorf("%s %s is answered with %d, which is not described", method, path, res.StatusCode)
						continue
					}
					seen[what] = true
					conforms(t, what, res, a, compile)
				}
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(described)) {
		if !seen[what] {
			t.Errorf("%s is described, and was not answered here", what)
		}
	}
}

// conforms holds one answer against its description.
func conforms(t *testing.T, what string, res *http.Response, a answer, compile func(string) *jsonschema.Schema) {
	t.Helper()
	text := body(t, res)
	if len(a) == 0 {
		if text != "" {
			t.Errorf("%s: got %q, and no content is described", what, text)
		}
		return
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	reference, ok := a[kind]
	if err != nil || !ok {
		t.Errorf("%s: got %q, and %v is described", what, res.Header.Get("Content-Type"), a)
		return
	}
	if reference == "" {
		return
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = compile(reference).Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %s\n%v", what, text, err)
	}
}

// A schema that takes anything would let the test above pass: what is not
// described is refused.
func TestOpenAPISchemasBite(t *testing.T) {
	compile := schemas(t)
	for _, tt := range []struct{ reference, text string }{
		{"#/components/schemas/Streams", `{"total":1,"streams":[{"name":"live/a","state":"live","key":"s3cret"}]}`},
		{"#/components/schemas/Streams", `{"total":1,"streams":[{"name":"live/a","state":"alive"}]}`},
		{"#/components/schemas/Problem", `{"error":"it broke"}`},
		{"#/components/schemas/Scale", `{"broadcasts":"2"}`},
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if compile(tt.reference).Validate(v) == nil {
			t.Errorf("%s takes %s", tt.reference, tt.text)
		}
	}
}
