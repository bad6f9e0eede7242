//go:build unix

// Package hostile says to weir what a port on the internet gets to hear.
package hostile

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.MainRace(m) }
