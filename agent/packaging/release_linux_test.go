package packaging

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysotel/otel-collector/programs"
)

// buildRelease builds a release for linux/amd64 in a checkout and returns the files.
func buildRelease(t *testing.T, checkout, version string) map[string][]byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := programs.Command(t, "release", "-out", out, "-targets", "linux/amd64", "-version", version)
	git, err := filepath.Abs("../../.git")
	if err != nil {
		t.Fatal(err)
	}
	// In a worktree .git is a file that names the directory.
	if text, err := os.ReadFile(git); err == nil {
		git = strings.TrimSpace(strings.TrimPrefix(string(text), "gitdir: "))
	}
	cmd.Dir, cmd.Env = checkout, append(os.Environ(), "GIT_DIR="+git, "GIT_WORK_TREE="+checkout)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// copyCheckout copies what git would, and the built web app.
func copyCheckout(t *testing.T) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard")
	list.Dir = filepath.Join("..", "..")
	listed, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.Lines(string(listed)) {
		name = strings.TrimSpace(name)
		if strings.HasPrefix(name, "dashboards/web/dist/") {
			continue
		}
		to := filepath.Join(dir, name)
		if link, err := os.Readlink(filepath.Join("..", "..", name)); err == nil {
			if err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Symlink(link, to)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // It is deleted and not committed yet.
		}
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "dashboards/web/dist"), os.DirFS("../../dashboards/web/dist")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRelease: a release has all that it should, and two of the same sources in two
// directories have the same bytes.
func TestRelease(t *testing.T) {
	if _, err := os.Stat("../../dashboards/web/dist/index.html"); err != nil {
		missing(t, "the web app is not built; make build does")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files := buildRelease(t, root, "v1.2.3-rc.1-5-gabcdef0")
	const name = "sysotel_1.2.3-rc.1-5.gabcdef0_linux_amd64"
	want := []string{
		"SHA256SUMS", name + ".apk", name + ".cdx.json", name + ".deb", name + ".docker.tar", name + ".rpm", name + ".tar.gz",
		"sysotel_1.2.3-rc.1-5.gabcdef0_chart.tgz", "sysotel_1.2.3-rc.1-5.gabcdef0_daemonset.yaml", "sysotel_1.2.3-rc.1-5.gabcdef0_oci.tar",
	}
	var got []string
	for file := range files {
		got = append(got, file)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the release has\n%q, want\n%q", got, want)
	}
	for line := range strings.Lines(string(files["SHA256SUMS"])) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if actual := sha256.Sum256(files[file]); hex.EncodeToString(actual[:]) != sum {
			t.Errorf("the checksum of %s is wrong", file)
		}
	}
	t.Run("archive", func(t *testing.T) { checkArchive(t, files[name+".tar.gz"]) })
	t.Run("bill", func(t *testing.T) { checkBill(t, files[name+".cdx.json"]) })
	t.Run("image", func(t *testing.T) { checkImage(t, files[name+".docker.tar"]) })
	t.Run("apk", func(t *testing.T) { checkAlpine(t, files[name+".apk"]) })
	t.Run("chart", func(t *testing.T) {
		files := unpack(t, unzip(t, files["sysotel_1.2.3-rc.1-5.gabcdef0_chart.tgz"]))
		for _, has := range []string{"\nversion: 1.2.3-rc.1+5.gabcdef0\n", "\nappVersion: 1.2.3-rc.1-5.gabcdef0\n"} {
			if !strings.Contains(string(files["sysotel/Chart.yaml"]), has) {
				t.Errorf("it lacks %q:\n%s", has, files["sysotel/Chart.yaml"])
			}
		}
	})
	if text := string(files["sysotel_1.2.3-rc.1-5.gabcdef0_daemonset.yaml"]); !strings.Contains(text, "image: sysotel/agent:1.2.3-rc.1-5.gabcdef0\n") {
		t.Errorf("the manifest has another image:\n%s", text)
	}
	t.Run("deb", func(t *testing.T) { checkDebian(t, files[name+".deb"]) })
	for file, text := range buildRelease(t, copyCheckout(t), "v1.2.3-rc.1-5-gabcdef0") {
		if !bytes.Equal(text, files[file]) {
			t.Errorf("%s differs when it is built in another directory", file)
		}
	}
}

// unpack reads the members of a tar, which may be several one after the other.
func unpack(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if found[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func unzip(t *testing.T, text []byte) io.Reader {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func checkArchive(t *testing.T, text []byte) {
	files := unpack(t, unzip(t, text))
	program := filepath.Join(t.TempDir(), "sysotel")
	if err := os.WriteFile(program, files["sysotel"], 0o700); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "sysotel v1.2.3-rc.1-5-gabcdef0 linux/amd64") {
		t.Errorf("it says %s (%v)", said, err)
	}
	for name, has := range map[string]string{
		"LICENSE": "MIT", "README.md": "# sysotel", "THIRD_PARTY_NOTICES.txt": "\nnpm preact ", "sysotel.example.yaml": "#interval: 1s",
		"sysotel.1": ".TH SYSOTEL 1", "completion/bash": "__complete", "completion/zsh": "#compdef", "completion/fish": "__complete", "sysotel.service": "ExecStart=/usr/bin/sysotel run",
	} {
		if !strings.Contains(string(files[name]), has) {
			t.Errorf("%s lacks %q", name, has)
		}
	}
	if analyze := "/usr/bin/systemd-analyze"; exists(analyze) {
		unit := filepath.Join(t.TempDir(), "sysotel.service")
		if err := os.WriteFile(unit, bytes.ReplaceAll(files["sysotel.service"], []byte("/usr/bin/sysotel"), []byte("/bin/true")), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(said), "sysotel.service") {
			t.Errorf("the unit: %v\n%s", err, said)
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func checkBill(t *testing.T, text []byte) {
	var bill struct {
		BOMFormat  string
		Components []struct {
			PURL     string
			Licenses []struct{ Expression string }
		}
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
		t.Fatalf("%v: %s", err, text[:100])
	}
	kinds := map[string]int{}
	for _, c := range bill.Components {
		kind, _, _ := strings.Cut(c.PURL, "/")
		kinds[kind]++
		if len(c.Licenses) != 1 || c.Licenses[0].Expression == "" {
			t.Errorf("%s has no licence", c.PURL)
		}
	}
	if kinds["pkg:golang"] < 100 || kinds["pkg:npm"] < 4 || len(kinds) != 2 {
		t.Errorf("it lists %v", kinds)
	}
}

func checkImage(t *testing.T, text []byte) {
	files := unpack(t, bytes.NewReader(text))
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("%v: %s", err, files["manifest.json"])
	}
	var config struct {
		Architecture string
		Config       struct {
			User        string
			Entrypoint  []string
			Healthcheck struct{ Test []string }
			Volumes     map[string]any
		}
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if config.Architecture != "amd64" || c.User != "65532:0" || strings.Join(c.Healthcheck.Test, " ") != "CMD /sysotel health" || c.Volumes["/var/lib/sysotel"] == nil {
		t.Errorf("the image is configured as %+v", config)
	}
	inside := unpack(t, unzip(t, files[manifest[0].Layers[0]]))
	if len(inside) != 5 || bytes.Count(inside["etc/ssl/certs/ca-certificates.crt"], []byte("BEGIN CERTIFICATE")) < 50 || len(inside["sysotel"]) < 1<<20 {
		t.Errorf("the image has %d files", len(inside))
	}
}

func checkAlpine(t *testing.T, text []byte) {
	files := unpack(t, unzip(t, text))
	info := string(files[".PKGINFO"])
	if !strings.Contains(info, "\npkgver = 1.2.3_rc1_p5\n") || !strings.Contains(info, "\narch = x86_64\n") {
		t.Errorf("it says\n%s", info)
	}
	for line := range strings.Lines(info) {
		if !strings.Contains(line, " = ") && !strings.HasPrefix(line, "#") {
			t.Errorf("a line without a key: %s", line)
		}
	}
	for _, name := range []string{".post-install", ".post-upgrade", ".pre-deinstall", "etc/init.d/sysotel", "etc/conf.d/sysotel", "usr/share/man/man1/sysotel.1.gz", "usr/share/zsh/site-functions/_sysotel"} {
		if len(files[name]) == 0 {
			t.Errorf("it lacks %s", name)
		}
	}
	if files["usr/lib/systemd/system/sysotel.service"] != nil {
		t.Error("it has a unit of systemd, which Alpine has not")
	}
}

// missing skips a test that cannot run here; in CI it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s, and CI must run this test", what)
	}
	t.Skip(what)
}

func checkDebian(t *testing.T, text []byte) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		missing(t, "there is no dpkg-deb, which reads the package")
	}
	path := filepath.Join(t.TempDir(), "sysotel.deb")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(option string) map[string][]byte {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "dpkg-deb", option, path).Output()
		if err != nil {
			t.Fatal(err)
		}
		return unpack(t, bytes.NewReader(out))
	}
	control := read("--ctrl-tarfile")
	if got := string(control["./conffiles"]); strings.TrimSpace(got) != "/etc/sysotel/sysotel.yaml" {
		t.Errorf("its configuration files are %q", got)
	}
	if !strings.Contains(string(control["./control"]), "\nVersion: 1.2.3~rc.1+5.gabcdef0\n") {
		t.Errorf("it says\n%s", control["./control"])
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if !bytes.HasPrefix(control["./"+script], []byte("#!/bin/sh\n")) {
			t.Errorf("it lacks %s", script)
		}
	}
	files := read("--fsys-tarfile")
	for _, name := range []string{
		"usr/bin/sysotel", "etc/sysotel/sysotel.yaml", "usr/lib/systemd/system/sysotel.service", "usr/lib/sysusers.d/sysotel.conf", "usr/lib/tmpfiles.d/sysotel.conf",
		"usr/share/man/man1/sysotel.1.gz", "usr/share/bash-completion/completions/sysotel", "usr/share/zsh/vendor-completions/_sysotel",
		"usr/share/fish/vendor_completions.d/sysotel.fish", "usr/share/doc/sysotel/copyright", "usr/share/doc/sysotel/sysotel.example.yaml", "usr/share/doc/sysotel/THIRD_PARTY_NOTICES.txt.gz",
	} {
		if len(files["./"+name]) == 0 {
			t.Errorf("it lacks %s", name)
		}
	}
	// Each version stands behind the one before.
	versions := []string{"0.0.0+12.gabcdef0", "0.0.0+120.g1234567", "1.2.3~rc.1", "1.2.3~rc.1+5.gabcdef0", "1.2.3", "1.2.3+5.gabcdef0", "1.2.4"}
	for i, v := range versions[1:] {
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", versions[i], "lt", v).Run(); err != nil {
			t.Errorf("%s is not before %s: %v", versions[i], v, err)
		}
	}
}
