package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// build builds the program for a target and returns its path.
func (r *release) build(ctx context.Context, t target) (string, error) {
	path := filepath.Join(r.staging, t.system+"-"+t.processor)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(os.Stderr, "building %s for %s\n", r.version.name, t)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+r.version.name, "-o", path, "./agent")
	// What else the environment says must not change the result.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.system, "GOARCH="+t.processor, "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=",
		"GOAMD64=v1", "GOARM64=v8.0", "GOARM=7", "GORISCV64=rva20u64", "GOFIPS140=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build for %s: %w\n%s", t, err, said)
	}
	return path, nil
}

// texts are the files that go along with the program, by what they are.
type texts struct {
	license, notices, readme, example, unit, manual []byte
	// completions are the scripts by shell.
	completions map[string][]byte
}

// readTexts reads what the repository has and asks the program, built for this machine,
// for the rest.
func (r *release) readTexts(ctx context.Context) (texts, error) {
	program, err := r.build(ctx, target{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return texts{}, err
	}
	var all error
	file := func(path string) []byte {
		text, err := os.ReadFile(path)
		all = errors.Join(all, err)
		return text
	}
	ask := func(args ...string) []byte {
		text, err := exec.CommandContext(ctx, program, args...).Output()
		if err != nil {
			all = errors.Join(all, fmt.Errorf("sysotel %s: %w", strings.Join(args, " "), err))
		}
		return text
	}
	found := texts{
		license: file("LICENSE"), readme: file("README.md"), example: file("agent/config/sysotel.example.yaml"),
		notices: ask("version", "--licenses"), manual: ask("help", "--man"),
		completions: map[string][]byte{},
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		found.completions[shell] = ask("completion", shell)
	}
	unit, err := packagedUnit(string(file("agent/packaging/sysotel.service")))
	found.unit = []byte(unit)
	return found, errors.Join(all, err)
}

// packagedUnit changes the unit to what a package installs: the program is elsewhere,
// and the user is a lasting one, who owns the data in any system.
func packagedUnit(unit string) (string, error) {
	for _, change := range [][2]string{
		{"/usr/local/bin/sysotel", "/usr/bin/sysotel"},
		{"# A user that exists while the service runs, and its data directory.\nDynamicUser=yes\n", "User=sysotel\nGroup=sysotel\nPrivateTmp=yes\nRemoveIPC=yes\n\n# `sysotel backup` writes there.\nReadWritePaths=-/var/backups/sysotel\n"},
	} {
		if !strings.Contains(unit, change[0]) {
			return "", fmt.Errorf("the unit lacks %q", change[0])
		}
		unit = strings.ReplaceAll(unit, change[0], change[1])
	}
	// Its head says how to install it by hand.
	_, unit, _ = strings.Cut(unit, "\n[Unit]")
	return "# Change it with `systemctl edit sysotel`. Options are in /etc/sysotel/sysotel.yaml, or\n" +
		"# as SYSOTEL_ variables in /etc/sysotel/sysotel.env.\n\n[Unit]" + unit, nil
}
