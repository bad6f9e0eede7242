//go:build unix

// Package kill kills, freezes and cuts off the processes of a cluster, and wants nobody to notice.
package kill

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.MainRace(m) }
