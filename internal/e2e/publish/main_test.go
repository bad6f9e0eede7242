//go:build unix

// Package publish holds whole shows, from an encoder to a viewer, to what was sent.
package publish

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.Main(m) }
