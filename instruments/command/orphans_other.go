//go:build !linux

package command

import (
	"context"
	"os/exec"
)

func runAndWait(cmd *exec.Cmd) error { return cmd.Run() }

// Reap does nothing: elsewhere the agent is not process 1.
func Reap(context.Context) error { return nil }
