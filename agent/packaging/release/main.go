// Command release builds what is handed out: the program for each system in an archive
// of its own, packages for Debian, RPM and Alpine, container images, bills of materials
// and checksums. The same commit gives the same bytes, wherever it is built.
//
// It is a module of its own, so that the agent's has nothing of it. `make release` calls
// it from the repository root; agent/packaging tests what it makes. Read main.go first,
// then version.go and program.go, which stand behind all of it, and a file for each kind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

// release is one run.
type release struct {
	// out is where it all goes; staging is for files on their way there.
	out, staging string
	version      version
	// time is that of the commit; everything inside has it.
	time  time.Time
	texts texts
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	out := flags.String("out", "bin/release", "empty or missing `directory` for the result")
	only := flags.String("targets", "", "systems and processors such as linux/amd64,linux/arm64 (default: all)")
	given := flags.String("version", "", "version such as v1.2.3 (default: from the tags of the repository)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	targets, err := choose(*only)
	if err != nil {
		return err
	}
	r := release{out: *out}
	if r.version, r.time, err = readCommit(ctx, *given); err != nil {
		return err
	}
	if entries, err := os.ReadDir(r.out); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", r.out)
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	if r.staging, err = os.MkdirTemp("", "sysotel-release"); err != nil {
		return err
	}
	defer os.RemoveAll(r.staging)
	if err := r.make(ctx, targets); err != nil {
		return err
	}
	return r.writeSums()
}

// make builds everything but the checksums.
func (r *release) make(ctx context.Context, targets []target) error {
	if _, err := os.Stat("dashboards/web/dist/index.html"); err != nil {
		return fmt.Errorf("the web app is not built, and a release has it: %w", err)
	}
	var err error
	if r.texts, err = r.readTexts(ctx); err != nil {
		return err
	}
	var images []builtImage
	for _, t := range targets {
		program, err := r.build(ctx, t)
		if err != nil {
			return err
		}
		steps := []func(target, string) error{r.writeArchive, r.writeBill}
		if t.packaged() {
			steps = append(steps, r.writePackages)
		}
		for _, step := range steps {
			if err := step(t, program); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
		}
		if t.packaged() {
			image, err := r.buildImage(t, program)
			if err != nil {
				return fmt.Errorf("image for %s: %w", t, err)
			}
			images = append(images, builtImage{t, image})
		}
	}
	if err := r.writeChart(); err != nil {
		return fmt.Errorf("chart: %w", err)
	}
	return r.writeImages(images)
}

// target is a system and a processor.
type target struct{ system, processor string }

func (t target) String() string { return t.system + "/" + t.processor }

// packaged reports whether there are packages and images for it.
func (t target) packaged() bool { return t.system == "linux" }

// file returns the name of a file for the target.
func (r *release) file(t target, ending string) string {
	processor := t.processor
	if processor == "arm" {
		processor = "armv7"
	}
	return filepath.Join(r.out, strings.Join([]string{"sysotel", r.version.file(), t.system, processor}, "_")+ending)
}

// all are the targets of a release.
var all = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"linux", "arm"}, {"linux", "riscv64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"},
}

// choose finds the targets in a list; an empty one means all.
func choose(list string) ([]target, error) {
	if list == "" {
		return all, nil
	}
	var chosen []target
	for name := range strings.SplitSeq(list, ",") {
		system, processor, _ := strings.Cut(name, "/")
		t := target{system, processor}
		if !slices.Contains(all, t) {
			return nil, fmt.Errorf("no release for %q, there are: %v", name, all)
		}
		chosen = append(chosen, t)
	}
	return chosen, nil
}
