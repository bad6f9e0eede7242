package storage_test

import (
	"fmt"
	"slices"
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
	part := 0 // a store is a prefix, empty at first
	testStore(t, func(t *testing.T) storage.Store {
		part++
		s := openS3(t, gateway.StoreURL(fmt.Sprint(part)))
		storage.SetPageSize(s, 3) // lists take several requests
		return s
	})
}

// What is not the default but sent all the same.
func TestS3Variants(t *testing.T) {
	gateway := versitygw.Start(t)
	for _, parameters := range []string{"sign-payload=true", "checksum=false", "tag=a:b", "storage-class=STANDARD"} {
		t.Run(parameters, func(t *testing.T) {
			s := openS3(t, gateway.StoreURL(parameters)+"&"+parameters)
			testRoundTrip(t, s)
			testAbsent(t, s)
		})
	}
}

// A bucket may hold other things than ours.
func TestS3ListsOnlyItsOwn(t *testing.T) {
	gateway := versitygw.Start(t)
	root, below := openS3(t, gateway.StoreURL("")), openS3(t, gateway.StoreURL("weir"))
	put(t, root, "weird/k", "x", always)
	put(t, root, "other/k", "x", always)
	put(t, below, "k", "x", always)
	if got := keys(t, below, ""); !slices.Equal(got, []string{"k"}) {
		t.Errorf("below the prefix: %q", got)
	}
	if got := keys(t, root, ""); !slices.Equal(got, []string{"other/k", "weir/k", "weird/k"}) {
		t.Errorf("in the bucket: %q", got)
	}
}

func TestS3Processes(t *testing.T) {
	testProcesses(t, versitygw.Start(t).StoreURL("processes"))
}
