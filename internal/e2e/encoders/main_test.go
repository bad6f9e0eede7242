//go:build unix

// Package encoders publishes with what people stream with, over every transport
// that they have.
package encoders

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.Main(m) }
