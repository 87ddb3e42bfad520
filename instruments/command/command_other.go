//go:build !unix

package command

import "os/exec"

// ownGroup leaves the program as it is: only the program itself can be killed here.
func ownGroup(*exec.Cmd) {}
