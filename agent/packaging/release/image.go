package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// builtImage is the image of a target.
type builtImage struct {
	target
	image v1.Image
}

// user is the user and the group of the container, as in agent/packaging/Dockerfile.
const user, group = 65532, 0

// buildImage builds the image that agent/packaging/Dockerfile describes, without Docker.
func (r *release) buildImage(t target, program string) (v1.Image, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, f := range []struct {
		tar.Header
		text []byte
	}{
		{tar.Header{Name: "etc/ssl/certs/", Mode: 0o755}, nil},
		{tar.Header{Name: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644}, rootCertificates()},
		{tar.Header{Name: "tmp/", Mode: 0o1777}, nil},
		{tar.Header{Name: "var/lib/sysotel/", Mode: 0o770, Uid: user, Gid: group}, nil},
		{tar.Header{Name: "sysotel", Mode: 0o755}, binary},
	} {
		f.Typeflag, f.Size, f.ModTime, f.Format = tar.TypeReg, int64(len(f.text)), r.time, tar.FormatUSTAR
		if f.text == nil {
			f.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&f.Header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "sysotel " + r.version.name}})
	if err != nil {
		return nil, err
	}
	config := &v1.ConfigFile{
		OS: t.system, Architecture: t.processor, Created: v1.Time{Time: r.time},
		Config: v1.Config{
			User: fmt.Sprintf("%d:%d", user, group), Entrypoint: []string{"/sysotel"}, Cmd: []string{"run"},
			Env:          []string{"SYSOTEL_DATA_DIR=/var/lib/sysotel"},
			Volumes:      map[string]struct{}{"/var/lib/sysotel": {}},
			ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9100/tcp": {}},
			Healthcheck: &v1.HealthConfig{
				Test: []string{"CMD", "/sysotel", "health"}, Interval: 5 * time.Second, Timeout: 5 * time.Second, StartPeriod: 20 * time.Second,
			},
			Labels: map[string]string{
				"org.opencontainers.image.title": "sysotel", "org.opencontainers.image.version": r.version.name, "org.opencontainers.image.licenses": "MIT",
			},
		},
	}
	if t.processor == "arm" {
		config.Variant = "v7"
	}
	had, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.RootFS, config.History = had.RootFS, had.History
	return mutate.ConfigFile(image, config)
}

// rootCertificates are Mozilla's, as PEM. Those that it trusts for some names only are
// left out: a file of certificates cannot say so.
func rootCertificates() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return text.Bytes()
}

// writeImages writes each image as `docker load` reads it, and all of them as one OCI
// archive, from which a registry gets the right one for each machine.
func (r *release) writeImages(images []builtImage) error {
	if len(images) == 0 {
		return nil
	}
	tag, err := name.NewTag("sysotel/agent:" + r.version.file())
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range images {
		if err := tarball.WriteToFile(r.file(i.target, ".docker.tar"), tag, i.image); err != nil {
			return err
		}
		platform := &v1.Platform{OS: i.system, Architecture: i.processor}
		if i.processor == "arm" {
			platform.Variant = "v7"
		}
		oci := mutate.ConfigMediaType(mutate.MediaType(i.image, types.OCIManifestSchema1), types.OCIConfigJSON)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: oci, Descriptor: v1.Descriptor{Platform: platform}})
	}
	dir := filepath.Join(r.staging, "oci")
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version.file()})); err != nil {
		return err
	}
	var entries []entry
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, path)
		entries = append(entries, entry{filepath.ToSlash(inside), 0o644, text})
		return err
	})
	if err != nil {
		return err
	}
	return create(filepath.Join(r.out, "sysotel_"+r.version.file()+"_oci.tar"), func(w io.Writer) error { return r.writeTar(w, entries) })
}
