//go:build race

package testweir

// raceDetector tells whether the tests run with it; weir then does, too.
const raceDetector = true
