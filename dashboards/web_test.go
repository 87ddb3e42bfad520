package dashboards

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"path"
	"strings"
	"testing"
)

// TestWebIsSmall: the web app is at most 150 kB compressed, as it is sent.
func TestWebIsSmall(t *testing.T) {
	files, err := Web()
	if err != nil {
		t.Fatal(err)
	}
	const maxBytes = 150_000
	sum := 0
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) == ".png" {
			return err // Icons are loaded only on installation.
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(text); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		sum += b.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if sum == 0 || sum > maxBytes {
		t.Errorf("the web app has %d bytes compressed, at most %d are allowed", sum, maxBytes)
	}
	t.Logf("%d bytes compressed", sum)
}

// TestUnbuiltPage: without Node the agent has a page that says what to do.
func TestUnbuiltPage(t *testing.T) {
	page, err := fs.ReadFile(unbuilt, "web/unbuilt/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"make build", "Node 20.19", `href="docs"`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	// Its policy allows no inline script or style.
	for _, bad := range []string{"<script", "<style", "style=", "://"} {
		if strings.Contains(string(page), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if placeholder, err := fs.Stat(built, "web/dist/.gitkeep"); err != nil || placeholder.Size() != 0 {
		t.Errorf("the placeholder that a clean clone needs to build is gone: %v", err)
	}
}
