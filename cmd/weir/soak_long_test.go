//go:build soak && unix

package main

import (
	"os"
	"testing"
	"time"
)

func init() { longestLife = 24 * time.Hour }

// make soak: thirty streams, for as long as WEIR_SOAK says (5 minutes).
func TestSoak(t *testing.T) {
	long := 5 * time.Minute
	if v := os.Getenv("WEIR_SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		long = d
	}
	soak(t, 30, long, 600)
}

// TestZombie, frozen for 20 s.
func TestSoakZombie(t *testing.T) { zombies(t, 20*time.Second, 30) }

// TestNATSKilled, with two servers of three gone.
func TestSoakNATS(t *testing.T) { natsKilled(t, 3, 2) }
