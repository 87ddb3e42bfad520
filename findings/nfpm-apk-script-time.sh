#!/bin/bash
# nfpm: an .apk is not reproducible if it has scripts, whatever mtime says.
#
# Version:  github.com/goreleaser/nfpm/v2 v2.45.2.
# Expected: with Info.MTime set, packages of the same sources are equal to the byte, as its
#           documentation of reproducible builds has it, in each format.
# Observed: .deb and .rpm are. In the .apk a script keeps the time of the file that it was read from,
#           so two checkouts of one commit give two packages. Setting the files' times helps.
# Output:   deb: equal true
#           rpm: equal true
#           apk: equal false, .post-install 1100000000
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require github.com/goreleaser/nfpm/v2 v2.45.2
E
cat > main.go <<'E'
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk"
	_ "github.com/goreleaser/nfpm/v2/deb"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// build makes a package whose script's file has a time.
func build(format string, at time.Time) []byte {
	if err := os.Chtimes("script.sh", at, at); err != nil {
		panic(err)
	}
	packager := must(nfpm.Get(format))
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "a", Arch: "amd64", Version: "1.0.0", Maintainer: "A <a@example.org>", Description: "A",
		MTime: time.Unix(1_700_000_000, 0),
		Overridables: nfpm.Overridables{Scripts: nfpm.Scripts{PostInstall: "script.sh"}},
	})
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func main() {
	if err := os.WriteFile("script.sh", []byte("#!/bin/sh\n"), 0o755); err != nil {
		panic(err)
	}
	for _, format := range []string{"deb", "rpm", "apk"} {
		a, b := build(format, time.Unix(1_000_000_000, 0)), build(format, time.Unix(1_100_000_000, 0))
		fmt.Printf("%s: equal %t", format, bytes.Equal(a, b))
		if format == "apk" {
			archive := tar.NewReader(must(gzip.NewReader(bytes.NewReader(b))))
			for h, err := archive.Next(); err == nil; h, err = archive.Next() {
				if h.Name == ".post-install" {
					fmt.Printf(", %s %d", h.Name, h.ModTime.Unix())
				}
			}
		}
		fmt.Println()
	}
}
E
export GOFLAGS=-mod=mod
got=$(go run . 2>/dev/null)
echo "$got"
[ "$got" = "deb: equal true
rpm: equal true
apk: equal false, .post-install 1100000000" ]
