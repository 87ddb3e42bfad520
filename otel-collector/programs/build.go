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
	// needs names programs that build this one. Its version includes theirs.
	needs []string
	// definedBy lists the files, relative to the repository root, whose content defines
	// the version: if one changes, the program is built again. They may be patterns.
	definedBy []string
	// recipe describes how the program is built. It is part of the version too, for
	// changes of build flags.
	recipe string
	// make builds the program into the file out. scratch is an empty directory, which is
	// removed after the build.
	make func(ctx context.Context, w workshop, scratch, out string) error
}

// workshop builds programs for one checkout.
type workshop struct {
	root     string
	programs []program
	output   io.Writer
}

// goTool is a program that is one Go package, pinned with a tool line in
// otel-collector/tools/<folder>/go.mod. flags, if not nil, gets the content of that
// go.mod and returns additional flags for go build.
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

// ourTool is a program of this repository that is a module of its own.
func ourTool(name, folder string) program {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "."}
	return program{
		name:      name,
		definedBy: []string{folder + "/go.mod", folder + "/go.sum", folder + "/*.go"},
		recipe:    "go " + strings.Join(args, " "),
		make: func(ctx context.Context, w workshop, _, out string) error {
			return w.run(ctx, filepath.Join(w.root, folder), "go", slices.Insert(slices.Clone(args), 1, "-o", out)...)
		},
	}
}

// prometheusFlags returns the build flags of Prometheus and promtool. They leave out
// service discovery, which doubles the build time and which no test uses, and set the
// version, which comes from the linker: the module v0.315.0 is the release 3.15.0.
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

// victoriaMetricsFlags returns the build flags of VictoriaMetrics. They set the version,
// which comes from the linker, in the form of its releases.
func victoriaMetricsFlags(goMod string) []string {
	version := moduleVersion(goMod, "github.com/VictoriaMetrics/VictoriaMetrics")
	return []string{"-ldflags=-s -w -X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=victoria-metrics-" + version}
}

// telegrafFlags returns the build flags of Telegraf, with only the plug-ins that the
// recipe uses.
func telegrafFlags(string) []string {
	return []string{"-tags=custom,inputs.http,parsers.json_v2,outputs.influxdb_v2"}
}

// telegrafHostFlags returns those of a Telegraf that reads a host and is scraped.
func telegrafHostFlags(string) []string {
	return []string{"-tags=custom,inputs.cpu,inputs.disk,inputs.diskio,inputs.kernel,inputs.mem,inputs.net,inputs.processes,inputs.procstat,inputs.swap,inputs.system,outputs.prometheus_client"}
}

// collector is a distribution of the OpenTelemetry Collector, built from a manifest by
// the Collector's builder. distribution is the manifest's dist.name; its
// dist.output_path must be ./build.
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
			// With strict versions a component that needs a newer core is an error.
			err = w.run(ctx, scratch, builder,
				"--config="+filepath.Join(w.root, manifest), "--skip-strict-versioning=false")
			if err != nil {
				return err
			}
			return os.Rename(filepath.Join(scratch, "build", distribution), out)
		},
	}
}

// build returns the path of the named program and builds it if it is missing.
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
	// Another process may have built it meanwhile.
	if exists(path) {
		return path, nil
	}

	// The dot hides the unfinished module from ./... of the repository.
	scratch, err := os.MkdirTemp(folder, ".building-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	// Leftovers are harmless: git ignores bin.
	defer func() { _ = os.RemoveAll(scratch) }()
	fmt.Fprintf(w.output, "building %s\n", path)
	out := filepath.Join(scratch, name)
	if err := p.make(ctx, w, scratch, out); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	// The program gets its name only when it is complete.
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
	for _, pattern := range p.definedBy {
		files, err := filepath.Glob(filepath.Join(w.root, pattern))
		if err != nil {
			return "", fmt.Errorf("find %s: %w", pattern, err)
		}
		if len(files) == 0 {
			return "", fmt.Errorf("find %s: %w", pattern, fs.ErrNotExist)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			name := pattern
			if len(files) > 1 {
				name = filepath.Base(file)
			}
			fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		}
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
	// Twelve hexadecimal digits are enough for a file name.
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// run runs one command of a build in dir.
func (w workshop) run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = w.output, w.output
	cmd.Env = append(
		os.Environ(),
		"CGO_ENABLED=0", // The same result with and without a C compiler.
		"GOWORK=off",    // Use only the go.mod in dir.
		// For the Collector's builder, which runs go: getting VCS information fails if
		// another user owns the checkout.
		"GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -buildvcs=false"),
	)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return nil
}

// exists reports whether there is a file at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
