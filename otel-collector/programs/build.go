package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// program is one row of the table: a name, how it is built and what defines its
// version.
type program struct {
	name string
	// needs names programs that build this one. Their versions are part of this
	// one's version.
	needs []string
	// definedBy lists the files, relative to the repository root, whose content
	// is the version: when one changes, the program is built anew.
	definedBy []string
	// recipe says in words how the program is built. It is part of the version
	// too, so a change of build flags is not missed.
	recipe string
	// make builds the program into the file out. It may use the directory scratch,
	// which is empty before and removed after.
	make func(ctx context.Context, w workshop, scratch, out string) error
}

// workshop builds programs for one checkout.
type workshop struct {
	root     string
	programs []program
	output   io.Writer
}

// goTool is a program that is one Go package, pinned with a tool line in
// otel-collector/tools/<folder>/go.mod. flags may be nil; else it is given the
// content of that go.mod and returns further flags for go build.
func goTool(name, folder, pkg string, flags func(goMod string) []string) program {
	folder = "otel-collector/tools/" + folder
	goMod := folder + "/go.mod"
	args := func(goMod string) []string {
		args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"}
		if flags != nil {
			args = append(args, flags(goMod)...)
		}
		return append(args, pkg)
	}
	return program{
		name:      name,
		definedBy: []string{goMod, folder + "/go.sum"},
		recipe:    "go " + strings.Join(args(""), " "),
		make: func(ctx context.Context, w workshop, _, out string) error {
			content, err := os.ReadFile(filepath.Join(w.root, goMod))
			if err != nil {
				return err
			}
			args := slices.Insert(args(string(content)), 1, "-o", out)
			return w.run(ctx, filepath.Join(w.root, folder), "go", args...)
		},
	}
}

// prometheusFlags are the build flags of Prometheus and promtool. The service
// discoveries of clouds are left out: they double the build and no test uses
// them. The programs know their version only through the linker; the module
// v0.315.0 is the release 3.15.0.
func prometheusFlags(goMod string) []string {
	release := "unknown"
	var minor, patch int
	version := moduleVersion(goMod, "github.com/prometheus/prometheus")
	if _, err := fmt.Sscanf(version, "v0.%d.%d", &minor, &patch); err == nil {
		release = fmt.Sprintf("%d.%d.%d", minor/100, minor%100, patch)
	}
	return []string{
		"-tags=remove_all_sd",
		"-ldflags=-s -w -X github.com/prometheus/common/version.Version=" + release,
	}
}

// victoriaMetricsFlags are the build flags of VictoriaMetrics, which knows its
// version only through the linker, and takes it from words that are written as
// those of its releases are.
func victoriaMetricsFlags(goMod string) []string {
	version := moduleVersion(goMod, "github.com/VictoriaMetrics/VictoriaMetrics")
	return []string{"-ldflags=-s -w -X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=victoria-metrics-" + version}
}

// telegrafFlags are the build flags of Telegraf: of its plug-ins those that the
// recipe uses.
func telegrafFlags(string) []string {
	return []string{"-tags=custom,inputs.http,parsers.json_v2,outputs.influxdb_v2"}
}

// collector is a distribution of the OpenTelemetry Collector, put together by
// the Collector's builder from a manifest. distribution is the manifest's
// dist.name, and the manifest's dist.output_path is ./build.
func collector(name, manifest, distribution string) program {
	return program{
		name:      name,
		needs:     []string{"builder"},
		definedBy: []string{manifest},
		recipe:    "builder with strict versions",
		make: func(ctx context.Context, w workshop, scratch, out string) error {
			builder, err := w.build(ctx, "builder")
			if err != nil {
				return err
			}
			// Strict versions: a component that pulls in a newer core is an error and
			// not a surprise.
			err = w.run(ctx, scratch, builder,
				"--config="+filepath.Join(w.root, manifest), "--skip-strict-versioning=false")
			if err != nil {
				return err
			}
			return os.Rename(filepath.Join(scratch, "build", distribution), out)
		},
	}
}

// build returns the path of the named program and builds it when it is missing.
func (w workshop) build(ctx context.Context, name string) (string, error) {
	p, err := w.find(name)
	if err != nil {
		return "", err
	}
	version, err := w.version(p)
	if err != nil {
		return "", fmt.Errorf("find the version of %s: %w", name, err)
	}
	folder := filepath.Join(w.root, "bin", "tools")
	path := filepath.Join(folder, name+"-"+version)
	if exists(path) {
		return path, nil
	}

	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	unlock, err := lock(filepath.Join(folder, "."+name+".lock"))
	if err != nil {
		return "", fmt.Errorf("build %s: wait for other builds: %w", name, err)
	}
	defer unlock()
	// Somebody else may have built it while this one waited for the lock.
	if exists(path) {
		return path, nil
	}

	// The go command passes by folders whose name begins with a dot, so a
	// half-made module in there does not disturb ./... of the repository.
	scratch, err := os.MkdirTemp(folder, ".building-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	// What cannot be removed stays in the ignored folder bin and harms nobody.
	defer func() { _ = os.RemoveAll(scratch) }()
	fmt.Fprintf(w.output, "building %s\n", path)
	out := filepath.Join(scratch, name)
	if err := p.make(ctx, w, scratch, out); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	// The program appears under its name only when it is complete.
	if err := os.Rename(out, path); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

// find returns the row of the table with that name.
func (w workshop) find(name string) (program, error) {
	var names []string
	for _, p := range w.programs {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return program{}, fmt.Errorf("no program %q, there are: %s", name, strings.Join(names, ", "))
}

// version returns a short hash of everything that defines the program.
func (w workshop) version(p program) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s/%s\n%s\n", p.name, runtime.GOOS, runtime.GOARCH, p.recipe)
	for _, name := range p.definedBy {
		content, err := os.ReadFile(filepath.Join(w.root, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
	}
	for _, name := range p.needs {
		needed, err := w.find(name)
		if err != nil {
			return "", err
		}
		version, err := w.version(needed)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %s\n", name, version)
	}
	// Twelve hexadecimal digits name a file; they are no proof of anything.
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// run runs one command of a build in dir.
func (w workshop) run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = w.output, w.output
	cmd.Env = append(
		os.Environ(),
		"CGO_ENABLED=0", // The same program with or without a C compiler.
		"GOWORK=off",    // The go.mod next to the program decides, nothing else.
		// The Collector's builder runs go itself. Without this it asks git about our
		// repository, which fails when somebody else owns the checkout.
		"GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -buildvcs=false"),
	)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return nil
}

// exists tells whether there is a file at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
