package importwall

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestOneToolchain: every module and the image name the same patch release of
// Go: what was checked for vulnerabilities is what is built and what ships.
func TestOneToolchain(t *testing.T) {
	root := os.DirFS("../..")
	tr, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]*regexp.Regexp{
		"go.mod":     regexp.MustCompile(`(?m)^toolchain go(\S+)$`),
		"Dockerfile": regexp.MustCompile(`(?m)^ARG GO_VERSION=(\S+)$`),
	}
	versions := map[string][]string{}
	for _, f := range tr.text {
		for base, re := range named {
			if f.path != base && !(base == "go.mod" && strings.HasSuffix(f.path, "/go.mod")) {
				continue
			}
			match := re.FindSubmatch(f.src)
			if match == nil {
				t.Errorf("%s names no patch release of Go", f.path)
				continue
			}
			versions[string(match[1])] = append(versions[string(match[1])], f.path)
		}
	}
	if len(versions) != 1 {
		t.Errorf("several releases of Go: %v", versions)
	}
}
