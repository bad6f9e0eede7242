package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"weir/bus"
	"weir/endpoint"
	"weir/ingest"
	"weir/origin"
	"weir/segmenter"
	"weir/storage"
)

var update = flag.Bool("update", false, "write what is made of the code into docs")

// described is a registry that keeps what metrics say of themselves.
type described struct{ rows []string }

var descriptor = regexp.MustCompile(`fqName: "(\w+)", help: "(.*?)",(?: unit: "[^"]*",)? constLabels: \{\}, variableLabels: \{(.*?)\}`)

func (d *described) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc, 100)
	c.Describe(all)
	close(all)
	for desc := range all {
		m := descriptor.FindStringSubmatch(desc.String())
		if m == nil {
			return fmt.Errorf("a metric describes itself as %s", desc)
		}
		labels := ""
		if m[3] != "" {
			labels = "`" + strings.Join(strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' }), "`, `") + "`"
		}
		if strings.HasPrefix(m[1], "weir_") {
			d.rows = append(d.rows, fmt.Sprintf("| `%s` | %s | %s |", m[1], labels, m[2]))
		}
	}
	return nil
}

func (d *described) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

func (d *described) Unregister(prometheus.Collector) bool { return false }

// allMetrics are those of every stage.
func allMetrics(t *testing.T) []string {
	t.Helper()
	d := new(described)
	endpoint.NewMetrics(d)
	ingest.NewMetrics(d)
	d.MustRegister(ingest.NewPublisher(ingest.Config{}))
	segmenter.NewMetrics(d)
	origin.New(origin.Config{Objects: storage.NewMemory(), Registerer: d})
	registerWorker(d, new(bus.Worker))
	registerStore(d, storage.NewMemory())
	registerDisk(d, new(storage.Disk))
	registerCertificates(d, new(endpoint.Certificates))
	slices.Sort(d.rows)
	return d.rows
}

const metricsPage = "../../docs/metrics.md"

// The page of metrics and the code agree: the same names, labels and meanings.
func TestMetricsPage(t *testing.T) {
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "| metric | labels | |\n|---|---|---|\n", "\n\n"
	before, rest, ok := strings.Cut(string(page), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the page has no table")
	}
	want := strings.Join(allMetrics(t), "\n")
	if *update {
		if err := os.WriteFile(metricsPage, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("docs/metrics.md differs from the code: go test ./cmd/weir -run MetricsPage -update\nhas:\n%s\nwant:\n%s", table, want)
	}
}

// What the dashboard, the alerts and the documents ask for is there to be asked
// for.
func TestMetricsAskedFor(t *testing.T) {
	known := strings.Join(allMetrics(t), "\n")
	name := regexp.MustCompile(`\bweir_[a-z_]+[a-z]\b`)
	files := []string{"../../docs/operations.md", "../../docs/health.md", "../../docs/auth.md", "../../docs/tls.md", "../../docs/deploy.md", "../../docs/limits.md"}
	for _, pattern := range []string{"../../infra/grafana/*.json", "../../infra/prometheus/*.yml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range name.FindAllString(string(text), -1) {
			base := asked
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				base = strings.TrimSuffix(base, suffix)
			}
			if !strings.Contains(known, "`"+asked+"`") && !strings.Contains(known, "`"+base+"`") {
				t.Errorf("%s asks for %s, which is no metric", file, asked)
			}
		}
	}
}
