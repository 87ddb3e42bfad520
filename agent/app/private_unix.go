//go:build unix

package app

import "os"

// MakePrivate makes a directory, with its parents, that only this user can read.
func MakePrivate(path string) error { return os.MkdirAll(path, 0o700) }
