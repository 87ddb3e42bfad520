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

// runVersion prints the version, and on request what it is built from.
func runVersion(c Call) int {
	switch {
	case len(c.Args) == 0:
		fmt.Fprintf(c.Out, "sysotel %s %s/%s %s\n", c.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
		return 0
	case len(c.Args) == 1 && (c.Args[0] == "--licenses" || c.Args[0] == "-licenses"):
		fmt.Fprint(c.Out, licenses)
		return 0
	}
	fmt.Fprintf(c.Err, "sysotel: error: version takes no argument but --licenses (got %q)\n", c.Args)
	return 2
}
