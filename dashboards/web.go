// Package dashboards holds the web app that the agent serves.
package dashboards

import (
	"embed"
	"fmt"
	"io/fs"
)

// built is the web app as `make build` writes it. A clone without Node has only
// the placeholder, so that the agent builds without it.
//
//go:embed all:web/dist
var built embed.FS

// unbuilt is a page that says how to build the web app.
//
//go:embed web/unbuilt
var unbuilt embed.FS

// Web returns the files of the web app, index.html among them, or a page that says
// how to build it.
func Web() (fs.FS, error) {
	for _, at := range []struct {
		files embed.FS
		dir   string
	}{{built, "web/dist"}, {unbuilt, "web/unbuilt"}} {
		files, err := fs.Sub(at.files, at.dir)
		if err != nil {
			return nil, fmt.Errorf("open the web app: %w", err)
		}
		if _, err := fs.Stat(files, "index.html"); err == nil {
			return files, nil
		}
	}
	return nil, fmt.Errorf("open the web app: it is not embedded")
}
