// Package importwall holds no code, only the tests that keep weir's rooms
// apart: who may import whom, what stays pure, and the size and the names of
// things. The table itself is in rooms_test.go, each line with its reason.
//
// The tests read the source themselves, by go/parser. A child process's
// answer (go list, go vet) would not do: the go command does not see what a
// child has read, so it would repeat a stale result out of its test cache.
package importwall
