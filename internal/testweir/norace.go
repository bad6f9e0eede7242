//go:build !race

package testweir

// raceDetector tells whether the tests run with it.
const raceDetector = false
