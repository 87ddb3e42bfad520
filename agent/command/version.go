package command

import (
	_ "embed"
	"fmt"
	"runtime"
)

// licenses are the notices of every module that is built in, made by
// `make golden` from the modules themselves.
//
//go:embed licenses.txt
var licenses string

func versionCommand() command {
	return command{
		name: "version", summary: "print the version, or the licenses of what is built in",
		flags: []commandFlag{{name: "--licenses", help: "print the licenses of all linked modules"}}, run: runVersion,
		examples: []string{"sysotel version", "sysotel version --licenses"},
	}
}

// runVersion prints the version or the licenses.
func runVersion(c Call) int {
	if _, ok := c.flags["--licenses"]; ok {
		fmt.Fprint(c.Out, licenses)
		return 0
	}
	fmt.Fprintf(c.Out, "sysotel %s %s/%s %s\n", c.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return 0
}
