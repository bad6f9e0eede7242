package storage_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"weir/internal/versitygw"
	"weir/storage"
)

func openS3(t testing.TB, url string) *storage.S3 {
	t.Helper()
	c, err := storage.ParseS3(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := storage.NewS3(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.CloseIdleConnections)
	return s
}

func TestS3(t *testing.T) {
	gateway := versitygw.Start(t)
	for _, parameters := range []string{"", "&sign-payload=true", "&checksum=true"} {
		t.Run("with"+parameters, func(t *testing.T) {
			var part atomic.Int32 // a store is a prefix, empty at first
			testStore(t, func(t *testing.T) storage.Store {
				prefix := fmt.Sprintf("%s/%d", strings.Trim(parameters, "&"), part.Add(1))
				return openS3(t, gateway.StoreURL(strings.Trim(prefix, "/"))+parameters)
			})
		})
	}
}

func TestS3Processes(t *testing.T) {
	testProcesses(t, versitygw.Start(t).StoreURL("processes"))
}
