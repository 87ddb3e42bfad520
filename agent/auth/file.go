package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

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

// readFile reads into v what writeFile wrote. Other users must not be able to read the
// file: they could impersonate every account.
func (a *Auth) readFile(name string, v any) error {
	path := filepath.Join(a.dir, name)
	if err := a.keepOthersOut(path, 0o077, "read", 0o600); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(path, 0o600) == nil { // It is the agent's.
		text, err = os.ReadFile(path)
	}
	if err != nil {
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

// errOthers is the error of a path that others than the owner may access, and that the
// agent cannot protect because it is not its own.
var errOthers = errors.New("other users have access")

// keepOthersOut takes the forbidden permissions of a path from others than the owner.
// Windows has no modes; there the data directory decides.
func (a *Auth) keepOthersOut(path string, forbidden fs.FileMode, what string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" || info.Mode().Perm()&forbidden == 0 {
		return nil
	}
	err = os.Chmod(path, mode)
	switch {
	case err == nil:
		a.log.Warn("other users could "+what+" a file of the accounts; now they cannot", "path", path, "mode", fmt.Sprintf("%#o", info.Mode().Perm()), "now", fmt.Sprintf("%#o", mode))
	case errors.Is(err, syscall.EROFS):
		a.log.Warn("other users can "+what+" a file of the accounts, and the disk is read-only", "path", path, "mode", fmt.Sprintf("%#o", info.Mode().Perm()))
	default:
		return fmt.Errorf("%w: they can %s %s (mode %#o), and that cannot be changed: %w", errOthers, what, path, info.Mode().Perm(), err)
	}
	return nil
}

// has reports whether there is a file of a name.
func (a *Auth) has(name string) bool {
	_, err := os.Lstat(filepath.Join(a.dir, name))
	return err == nil
}

// maxAside is how many damaged files of each name are kept.
const maxAside = 3

// setAside renames a damaged file and returns its new name; none if it is missing.
func (a *Auth) setAside(name string) (string, error) {
	path := filepath.Join(a.dir, name)
	if !a.has(name) {
		return "", nil
	}
	aside := ""
	for at := a.clock().UnixMilli(); aside == "" || a.has(filepath.Base(aside)); at++ {
		aside = path + brokenSuffix + strconv.FormatInt(at, 10)
	}
	if err := os.Rename(path, aside); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(a.dir) // In the order of names, which is that of times.
	if err != nil {
		return aside, nil
	}
	var older []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), name+brokenSuffix) {
			older = append(older, e.Name())
		}
	}
	for _, gone := range older[:max(len(older)-maxAside, 0)] {
		_ = os.RemoveAll(filepath.Join(a.dir, gone)) // The next time finds it.
	}
	return aside, nil
}
