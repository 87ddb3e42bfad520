package dashboards

import (
	"embed"
	"fmt"
	"io/fs"
)

// built is what make build makes of dashboards/web. A clone without Node has only
// the placeholder there, so that the agent builds all the same.
//
//go:embed all:web/dist
var built embed.FS

// unbuilt is the page that says how the web app is built.
//
//go:embed web/unbuilt
var unbuilt embed.FS

// Web is the files of the web app, index.html first of all. Where it was not
// built, its one page says how it is.
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
	return nil, fmt.Errorf("open the web app: neither it nor the page that says how to build it is embedded")
}
