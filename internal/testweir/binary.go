//go:build unix

package testweir

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/internal/external"
)

// The environment of a weir that runs as a test's child. AsWeir makes the test
// binary of cmd/weir the command itself; FailAt says where that is to fail, see
// cmd/weir/failpoints_test.go.
const (
	AsWeir = "WEIR_TEST_CHILD"
	FailAt = "WEIR_TEST_FAIL"
)

// Root is the directory of weir's go.mod, above that of the test.
var Root = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module weir\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find weir's go.mod: none above the working directory")
		}
		dir = up
	}
})

// binary is weir with failpoints: the test binary of cmd/weir. It is built once
// for each state of the source, by the first of the test processes that want
// it, and stays in .cache/testweir, which make clean removes.
var binary = sync.OnceValues(func() (string, error) {
	if raceDetector && raced {
		return build("failing-race", "test", "-c", "-race", "-o")
	}
	return build("failing", "test", "-c", "-o")
})

// raced is whether weir is to have the race detector where its tests have it.
// It then takes several times as much of the processor, which shows full of
// pictures do not need: see MainRace.
var raced bool

// release is weir as it ships.
var release = sync.OnceValues(func() (string, error) {
	return build("release", "build", "-ldflags", "-s -w", "-o")
})

// Release returns the path of weir as it ships: what the test binary takes for
// its tests, and for the race detector, is none of weir's.
func Release(t testing.TB) string {
	t.Helper()
	external.Need(t, "a build of weir")
	path, err := release()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build returns the path of a build of cmd/weir. The last of the arguments is
// followed by the path.
func build(kind string, args ...string) (path string, err error) {
	dir, err := Root()
	if err != nil {
		return "", err
	}
	sum, err := sourceSum(dir)
	if err != nil {
		return "", err
	}
	cache := filepath.Join(dir, ".cache", "testweir")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Not os.Create: the go command would take the lock for an input of the test.
	lock, err := syscall.Open(filepath.Join(cache, ".lock"), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return "", fmt.Errorf("lock %s: %w", cache, err)
	}
	defer func() { err = errors.Join(err, syscall.Close(lock)) }()
	if err := syscall.Flock(lock, syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", cache, err)
	}
	path = filepath.Join(cache, fmt.Sprintf("weir-%s-%x", kind, sum[:8]))
	if syscall.Access(path, 0) == nil {
		return path, nil
	}
	removeOld(cache)
	cmd := exec.Command("go", append(args, path+".new", "./cmd/weir")...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build weir: %w\n%s", err, out)
	}
	return path, os.Rename(path+".new", path)
}

// removeOld deletes builds that no test has wanted for a while.
func removeOld(cache string) {
	old, err := filepath.Glob(filepath.Join(cache, "weir-*"))
	if err != nil {
		return // the pattern is good
	}
	for _, name := range old {
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(name) // another may have
		}
	}
}

// sourceSum hashes what weir is built from. That it reads the files here has a
// second use: the go command sees what a test has read, and so knows that a
// result of these tests, which import little of weir, has become stale.
func sourceSum(dir string) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version())
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name := e.Name()
		switch {
		case err != nil:
			return err
		case !e.Type().IsRegular() && !e.IsDir():
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			if path != dir && strings.HasPrefix(name, ".") || noSource[rel] {
				return fs.SkipDir
			}
			return nil
		}
		fmt.Fprintln(h, rel)
		return hashFile(h, path)
	})
	h.Sum(sum[:0])
	return sum, err
}

// noSource are the directories at the top that nothing is built from.
var noSource = map[string]bool{"bin": true, "docs": true, "testdata": true, "internal": true, "infra": true, "node_modules": true, "weir-data": true}

func hashFile(h hash.Hash, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(h, f)
	return err
}

// Main runs a package's tests. Shortly before their timeout it ends the test
// binary itself, and prints the goroutines of tests only: Go prints all of
// them, thousands of lines, and a CI log keeps the last few.
func Main(m *testing.M) {
	flag.Parse()
	if most := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration); most > 0 {
		time.AfterFunc(most-10*time.Second, tellWhoHangs)
	}
	os.Exit(m.Run())
}

// MainRace is Main for a package whose weir has the race detector, where its
// tests have it.
func MainRace(m *testing.M) {
	raced = true
	Main(m)
}

func tellWhoHangs() {
	all := make([]byte, 64<<20)
	all = all[:runtime.Stack(all, true)]
	for goroutine := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(goroutine, "weir/internal/e2e/") && strings.Contains(goroutine, ".Test") && !strings.Contains(goroutine, "(*T).Parallel") {
			fmt.Fprintln(os.Stderr, goroutine+"\n")
		}
	}
	fmt.Fprintln(os.Stderr, "The tests above have not ended before the timeout.")
	os.Exit(1)
}
