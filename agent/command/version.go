package command

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"runtime"
)

// packedLicenses are the notices of every module and npm package that is built in.
// `make golden` makes them from the modules themselves, and licenses.txt beside them,
// which shows in a review what changed.
//
//go:embed licenses.txt.gz
var packedLicenses []byte

// licenses returns the notices.
func licenses() string {
	r, err := gzip.NewReader(bytes.NewReader(packedLicenses))
	if err != nil {
		panic(err) // A test reads them: they are part of the program.
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return string(text)
}

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
		fmt.Fprint(c.Out, licenses())
		return 0
	}
	fmt.Fprintf(c.Out, "sysotel %s %s/%s %s\n", c.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return 0
}
