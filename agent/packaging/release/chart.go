package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// kubernetes is where the Helm chart is, and the manifest that is rendered from it.
const kubernetes = "agent/packaging/kubernetes"

// noVersion stands for the version in both.
const noVersion = "0.0.0"

// semantic is the version as Helm wants it.
func (v version) semantic() string { return strings.Replace(v.debian(), "~", "-", 1) }

// writeChart writes the chart as `helm package` does, and the manifest, both with the
// version of the release.
func (r *release) writeChart() error {
	var entries []entry
	chart := filepath.Join(kubernetes, "chart")
	err := filepath.WalkDir(chart, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(chart, path)
		if inside == "Chart.yaml" {
			text = bytes.Replace(text, []byte("\nversion: "+noVersion), []byte("\nversion: "+r.version.semantic()), 1)
			text = bytes.Replace(text, []byte("\nappVersion: "+noVersion), []byte("\nappVersion: "+r.version.file()), 1)
		}
		entries = append(entries, entry{"sysotel/" + filepath.ToSlash(inside), 0o644, text})
		return err
	})
	manifest, failed := os.ReadFile(filepath.Join(kubernetes, "daemonset.yaml"))
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	manifest = bytes.ReplaceAll(manifest, []byte(noVersion), []byte(r.version.file()))
	if err := os.WriteFile(filepath.Join(r.out, "sysotel_"+r.version.file()+"_daemonset.yaml"), manifest, 0o644); err != nil {
		return err
	}
	return create(filepath.Join(r.out, "sysotel_"+r.version.file()+"_chart.tgz"), func(w io.Writer) error {
		return packed(w, func(w io.Writer) error { return r.writeTar(w, entries) })
	})
}
