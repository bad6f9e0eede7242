// Package external says which tests need more than Go: real encoders, servers
// and browsers. With go test -short, as make quick has it, they are left out;
// CI leaves out none, and where a part is missing there its test fails.
package external

import "testing"

// Need is called before a test uses a part.
func Need(t testing.TB, part string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("-short leaves out what needs %s", part)
	}
}
