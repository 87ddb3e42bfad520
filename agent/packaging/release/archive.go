package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// entry is a file of an archive.
type entry struct {
	name string
	mode int64
	text []byte
}

// entries lists the files of an archive: the program, and what to install by hand.
func (r *release) entries(t target, program string) ([]entry, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	name := "sysotel"
	if t.system == "windows" {
		name += ".exe"
	}
	found := []entry{
		{name, 0o755, binary},
		{"LICENSE", 0o644, r.texts.license},
		{"README.md", 0o644, r.texts.readme},
		{"THIRD_PARTY_NOTICES.txt", 0o644, r.texts.notices},
		{"sysotel.example.yaml", 0o644, r.texts.example},
	}
	if t.system == "windows" {
		return found, nil
	}
	found = append(found, entry{"sysotel.1", 0o644, r.texts.manual})
	for _, shell := range []string{"bash", "zsh", "fish"} {
		found = append(found, entry{"completion/" + shell, 0o644, r.texts.completions[shell]})
	}
	if t.system == "linux" {
		found = append(found, entry{"sysotel.service", 0o644, r.texts.unit})
	}
	return found, nil
}

// writeArchive writes a zip for Windows, and a tar.gz for others.
func (r *release) writeArchive(t target, program string) error {
	entries, err := r.entries(t, program)
	if err != nil {
		return err
	}
	if t.system == "windows" {
		return create(r.file(t, ".zip"), func(w io.Writer) error { return r.writeZip(w, entries) })
	}
	return create(r.file(t, ".tar.gz"), func(w io.Writer) error {
		return packed(w, func(w io.Writer) error { return r.writeTar(w, entries) })
	})
}

func (r *release) writeZip(to io.Writer, entries []entry) error {
	w := zip.NewWriter(to)
	for _, e := range entries {
		file, err := w.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: r.time})
		if err != nil {
			return err
		}
		if _, err := file.Write(e.text); err != nil {
			return err
		}
	}
	return w.Close()
}

func (r *release) writeTar(to io.Writer, entries []entry) error {
	w := tar.NewWriter(to)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.text)), ModTime: r.time, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if _, err := w.Write(e.text); err != nil {
			return err
		}
	}
	return w.Close()
}

// packed compresses what write writes. The head has neither a name nor a time.
func packed(to io.Writer, write func(io.Writer) error) error {
	w, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		return err
	}
	return errors.Join(write(w), w.Close())
}

// create creates a file with what write writes.
func create(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// writeSums writes SHA256SUMS of everything else, for sha256sum --check.
func (r *release) writeSums() error {
	files, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, f := range files { // In the order of their names.
		hash := sha256.New()
		file, err := os.Open(filepath.Join(r.out, f.Name()))
		if err != nil {
			return err
		}
		_, err = io.Copy(hash, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", hash.Sum(nil), f.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), sums.Bytes(), 0o644)
}
