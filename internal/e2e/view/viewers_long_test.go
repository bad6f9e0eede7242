//go:build linux && soak

package view

import (
	"testing"
	"time"
)

func TestSoakViewers(t *testing.T) { watchByMany(t, 20*time.Second, 500, 2000) }
