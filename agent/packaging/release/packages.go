package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk" // Each registers its format.
	_ "github.com/goreleaser/nfpm/v2/deb"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// recipe says what is in the packages.
const recipe = "agent/packaging/nfpm.yaml"

// writePackages writes a package for each of Debian, RPM and Alpine.
func (r *release) writePackages(t target, program string) error {
	dir, err := r.stage(t, program)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(recipe)
	if err != nil {
		return err
	}
	// What nfpm does not take from its configuration it takes from there.
	if err := os.Setenv("SOURCE_DATE_EPOCH", fmt.Sprint(r.time.Unix())); err != nil {
		return err
	}
	for _, format := range []string{"deb", "rpm", "apk"} {
		if err := r.writePackage(t, format, dir, text); err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
	}
	return nil
}

func (r *release) writePackage(t target, format, dir string, recipe []byte) error {
	number := r.version.debian()
	if format == "apk" {
		number = r.version.alpine()
	}
	processor := t.processor
	if processor == "arm" {
		processor = "arm7" // As nfpm calls it.
	}
	values := map[string]string{"STAGING": dir, "VERSION": number, "ARCH": processor}
	config, err := nfpm.ParseWithEnvMapping(bytes.NewReader(recipe), func(name string) string { return values[name] })
	if err != nil {
		return err
	}
	config.MTime = r.time
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	info = nfpm.WithDefaults(info)
	info.RPM.BuildHost = "localhost" // Not the machine's name.
	if format == "apk" {
		// One line is all that Alpine has for it.
		info.Description, _, _ = strings.Cut(info.Description, "\n")
	}
	// nfpm gives scripts the time of their files, which is that of the checkout.
	for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove, &info.APK.Scripts.PostUpgrade} {
		if *script, err = r.stageScript(*script, dir); err != nil {
			return err
		}
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	return create(r.file(t, "."+format), func(w io.Writer) error { return packager.Package(info, w) })
}

// stage writes the files of the packages, and returns their directory.
func (r *release) stage(t target, program string) (string, error) {
	dir := filepath.Join(r.staging, "files-"+t.processor)
	var manual, notices bytes.Buffer
	write := func(text []byte) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(text); return err }
	}
	if err := packed(&manual, write(r.texts.manual)); err != nil {
		return "", err
	}
	if err := packed(&notices, write(r.texts.notices)); err != nil {
		return "", err
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	files := []entry{
		{"sysotel", 0o755, binary},
		{"sysotel.service", 0o644, r.texts.unit},
		{"sysotel.example.yaml", 0o644, r.texts.example},
		{"sysotel.1.gz", 0o644, manual.Bytes()},
		{"copyright", 0o644, append([]byte("The licences of what is built in are in THIRD_PARTY_NOTICES.txt.gz.\n\n"), r.texts.license...)},
		{"THIRD_PARTY_NOTICES.txt.gz", 0o644, notices.Bytes()},
	}
	for shell, script := range r.texts.completions {
		files = append(files, entry{"completion." + shell, 0o644, script})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, f := range files {
		if strings.Contains(f.name, "/") || len(f.text) == 0 {
			return "", fmt.Errorf("%s is empty", f.name)
		}
		if err := os.WriteFile(filepath.Join(dir, f.name), f.text, os.FileMode(f.mode)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// stageScript copies a script of a package, with the time of the release.
func (r *release) stageScript(path, dir string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	staged := filepath.Join(dir, strings.ReplaceAll(path, "/", "-"))
	if err := os.WriteFile(staged, text, 0o755); err != nil {
		return "", err
	}
	return staged, os.Chtimes(staged, r.time, r.time)
}
