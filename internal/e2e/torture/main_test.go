// Package torture is about encoders that do all that encoders do, one thing after
// the other, and the players that show it.
package torture

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.Main(m) }
