//go:build unix

// Package store lets S3 be late, away, wrong or closed, and wants every object there in the end.
package store

import (
	"testing"

	"weir/internal/testweir"
)

func TestMain(m *testing.M) { testweir.Main(m) }
