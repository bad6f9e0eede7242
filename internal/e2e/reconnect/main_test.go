//go:build unix

// Package reconnect loses encoders, servers and connections, and wants the same broadcast to go on.
package reconnect

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.MainRace(m) }
