//go:build !windows

package sqlite

// noLocks is the name of SQLite's file system that does not lock; https://sqlite.org/vfs.html.
const noLocks = "unix-none"
