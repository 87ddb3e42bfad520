package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"sysotel/agent/atomicfile"
)

// errNewer is the error of a file that a newer version of this program wrote.
var errNewer = errors.New("it was written by a newer version of sysotel; use that version")

// writeFile writes v as JSON, for the owner only.
func writeFile(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(text, '\n'), 0o600)
}

// readFile reads into v what writeFile wrote. It refuses a file that other users can
// read: they could impersonate every account.
func readFile(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := refuseOthers(path, 0o077, "be read", "600"); err != nil {
		return err
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return damage{err}
	}
	if head.Format > format {
		return fmt.Errorf("%s has format %d, this version knows up to %d: %w", path, head.Format, format, errNewer)
	}
	if head.Format < 1 {
		return damage{fmt.Errorf("unknown format %d", head.Format)}
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return damage{err}
	}
	return nil
}

// damage is an error in the content of a file.
type damage struct{ error }

func (d damage) Unwrap() error { return d.error }

// refuseOthers refuses a path that others than the owner may access; the error says
// how to fix that. Windows has no modes; there the data directory decides.
func refuseOthers(path string, forbidden fs.FileMode, what, mode string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&forbidden != 0 {
		return fmt.Errorf("%s can %s by other users (mode %#o): run chmod %s %s", path, what, info.Mode().Perm(), mode, path)
	}
	return nil
}
