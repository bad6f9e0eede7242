//go:build !unix

package auth

import "io/fs"

// keepOwner does nothing where files have no owner that is a number.
func keepOwner(string, fs.FileInfo) {}
