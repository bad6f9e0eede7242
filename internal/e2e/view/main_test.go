// Package view is about viewers: many of them.
package view

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.Main(m) }
