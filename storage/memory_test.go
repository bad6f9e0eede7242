package storage_test

import (
	"testing"

	"weir/storage"
)

func TestMemory(t *testing.T) {
	testStore(t, func(*testing.T) storage.Store { return storage.NewMemory() })
}
