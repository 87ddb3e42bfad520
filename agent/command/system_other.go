//go:build !windows

package command

import (
	"os"

	"sysotel/agent/config"
)

// systemCommands are the commands of this system only.
func systemCommands() []command { return nil }

// isRoot reports whether the user may do everything on this machine.
func isRoot() bool { return os.Geteuid() == 0 }

// defaultPath is the configuration file that is read if no other is named.
func defaultPath() (string, error) { return config.DefaultPath, nil }

// sharedDirectory is that of Windows.
func sharedDirectory() string { return "" }

// underManager runs the agent. Service managers of this system need no more than
// supervisor does.
func underManager(c Call, run func(Call) int) int { return run(c) }
