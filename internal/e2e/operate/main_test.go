//go:build unix

// Package operate does what operators do: start, scale, kick, and run out of room.
package operate

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.Main(m) }
