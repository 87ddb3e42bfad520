package export

import (
	"flag"
	"os"
	"testing"
)

// update rewrites golden files; make golden sets it.
var update = flag.Bool("update", false, "rewrite golden files")

// golden compares a file with what the code prints, and rewrites it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s is not what the code prints; run make golden and look at the difference", path)
	}
}
