//go:build !windows

package main

import (
	"fmt"
	"os"
)

// Other systems have none of these calls.
func main() {
	fmt.Fprintln(os.Stderr, "build it with GOOS=windows")
	os.Exit(1)
}
