package packaging

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sysotel/otel-collector/programs"
)

// image is built by the test, which cannot pull images: it has a static busybox, the
// real program, and the name of the public image.
type image struct {
	name string
	// programs are files of this machine by their paths in the image; scripts are
	// texts.
	programs, scripts map[string]string
	// changes are Dockerfile instructions that the public image has too.
	changes []string
}

// fakeGo replaces the go command: it checks that the build has all files that the
// real one would read, and outputs the binary that the test built before.
const fakeGo = `#!/bin/sh
set -eu
case "$1 $2" in
"mod download") test -f go.mod && test -f go.sum ;;
"build -trimpath")
	while read -r file; do test -e "$file" || { echo "the build has no $file" >&2; exit 1; }; done </inputs
	while [ "$1" != -o ]; do shift; done
	mkdir -p "${2%/*}" && cp /prebuilt/sysotel "$2" ;;
"run ./otel-collector/programs/build")
	test -f otel-collector/builder.yaml && test -f otel-collector/programs/build/main.go
	echo /prebuilt/otelcol ;;
*) echo "go $*: the test does not know this command" >&2; exit 1 ;;
esac
`

// fakeNPM replaces npm likewise.
const fakeNPM = `#!/bin/sh
set -eu
case "$*" in
ci*) test -f package-lock.json ;;
"run build") test -f vite.config.ts && mkdir -p dist && echo built >dist/index.html ;;
*) echo "npm $*: the test does not know this command" >&2; exit 1 ;;
esac
`

// fakeGrafana replaces Grafana, which the test cannot download: it checks everything
// that Grafana is given, and requests what Grafana would.
const fakeGrafana = `#!/bin/sh
set -eu
test -s "$GF_SECURITY_ADMIN_PASSWORD__FILE"
test -f /etc/grafana/provisioning/dashboards/sysotel.yaml && test -f /etc/grafana/boards/sysotel-overview.json
token=$(cat /run/sysotel/token)
grep -o '[$]__env{[A-Z0-9_]*}' /etc/grafana/provisioning/datasources/sysotel.yaml | tr -d '${}' | sed s/__env// | while read -r name; do
	eval url=\$$name path=/api/v1/query?query=1
	test "$name" != SYSOTEL_URL || path=/prometheus$path
	until wget -q -O /dev/null --header "Authorization: Bearer $token" "$url$path"; do echo "waiting for $url"; sleep 1; done
done
mkdir -p /tmp/www/api && echo ok >/tmp/www/api/health
exec httpd -f -p 3000 -h /tmp/www
`

// images are the base images of the Dockerfiles and the compose file. Their versions
// come from the files under test, so a name changed only there is not found.
func images(t *testing.T, agent string) []image {
	t.Helper()
	return []image{
		{
			name: "node:20.20.2-slim",
			// The sources of the web app are not checked: there is no npm.
			scripts: map[string]string{"bin/npm": fakeNPM},
		},
		{
			name:     "golang:1.26.8",
			programs: map[string]string{"prebuilt/sysotel": agent, "prebuilt/otelcol": programs.Path(t, "otelcol")},
			scripts:  map[string]string{"bin/go": fakeGo, "inputs": inputs(t), "etc/ssl/certs/ca-certificates.crt": "a certificate\n"},
		},
		{name: "alpine:3.22.2"},
		{
			name:     "victoriametrics/victoria-metrics:v1.130.0",
			programs: map[string]string{"victoria-metrics-prod": programs.Path(t, "victoria-metrics")},
			changes:  []string{`ENTRYPOINT ["/victoria-metrics-prod"]`},
		},
		{
			name:     "prom/prometheus:v3.15.0",
			programs: map[string]string{"bin/prometheus": programs.Path(t, "prometheus")},
			scripts:  map[string]string{"prometheus/": ""},
			changes:  []string{"USER 65534:65534", "WORKDIR /prometheus", `ENTRYPOINT ["/bin/prometheus"]`},
		},
		{
			name:    "grafana/grafana:13.2.3",
			scripts: map[string]string{"run.sh": fakeGrafana, "var/lib/grafana/": ""},
			changes: []string{"USER 472:0", `ENTRYPOINT ["/run.sh"]`},
		},
	}
}

// inputs lists the files that a build of the agent reads, one per line.
func inputs(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-f", `{{if not .Standard}}{{if eq .Module.Path "sysotel"}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`, "sysotel/agent")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var files strings.Builder
	for line := range strings.Lines(string(out)) {
		// The image builds what npm builds.
		if line = strings.TrimSpace(line); line == "" || strings.Contains(line, "/web/dist/") {
			continue
		}
		file, err := filepath.Rel(root, line)
		if err != nil {
			t.Fatal(err)
		}
		files.WriteString(file + "\n")
	}
	if !strings.Contains(files.String(), "agent/main.go\n") {
		t.Fatalf("the agent is built from\n%s", &files)
	}
	return files.String()
}

// buildAgent builds the agent as for a release.
func buildAgent(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "sysotel")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", out, "sysotel/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, said)
	}
	return out
}

// load creates an image.
func (d *docker) load(i image) {
	d.tb.Helper()
	args := []string{"import"}
	for _, change := range append(i.changes, "ENV PATH=/bin") {
		args = append(args, "--change", change)
	}
	cmd := d.command("docker", append(args, "-", i.name)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	in, err := cmd.StdinPipe()
	if err != nil {
		d.tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.tb.Fatal(err)
	}
	err = i.pack(in)
	if waited := cmd.Wait(); err != nil || waited != nil {
		d.tb.Fatalf("make the image %s: %v, %v\n%s", i.name, err, waited, &said)
	}
}

// pack writes the files of an image.
func (i image) pack(to io.WriteCloser) error {
	w := tar.NewWriter(to)
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	for _, dir := range []string{"bin/", "etc/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
			return err
		}
	}
	if err := add(w, "tmp/", nil); err != nil {
		return err
	}
	if err := add(w, "bin/busybox", busybox); err != nil {
		return err
	}
	for tool := range strings.FieldsSeq("base64 cat chmod cp grep head httpd ls mkdir rm sed sh sleep test tr wget") {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + tool, Linkname: "busybox"}); err != nil {
			return err
		}
	}
	for name, file := range i.programs {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := add(w, name, content); err != nil {
			return err
		}
	}
	for name, text := range i.scripts {
		if err := add(w, name, []byte(text)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return to.Close()
}

// add adds an executable file, or a world-writable directory if the name ends with /.
func add(w *tar.Writer, name string, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}
	if strings.HasSuffix(name, "/") {
		header = &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o777}
	}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
