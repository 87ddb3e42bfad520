package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares the program's output with a file of testdata.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run make golden if the change is intended\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// lines prints validation errors as the program does.
func lines(invalid []ValidationError) string {
	var b strings.Builder
	for _, m := range invalid {
		b.WriteString(m.String() + "\n")
	}
	return b.String()
}

// home is an environment in which data_dir has a default.
func home(more ...string) []string { return append([]string{"HOME=/home/me"}, more...) }

// load loads a configuration that must be valid.
func load(t *testing.T, o Options) Config {
	t.Helper()
	c, invalid := Load(o)
	if len(invalid) > 0 {
		t.Fatalf("validation errors:\n%s", lines(invalid))
	}
	return c
}

// TestGoodFiles loads every testdata/*.good.yaml.
func TestGoodFiles(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.good.yaml")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			load(t, Options{Path: file, Env: home()})
		})
	}
}

// TestGoldenErrors compares the errors in every testdata/*.bad.yaml with the text
// beside it. The word topsecret stands for secrets and is never shown.
func TestGoldenErrors(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.bad.yaml")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, invalid := Load(Options{Path: filepath.ToSlash(file), Env: home()})
			if len(invalid) == 0 {
				t.Fatal("nothing was wrong")
			}
			if strings.Contains(lines(invalid), "topsecret") {
				t.Errorf("a secret is shown:\n%s", lines(invalid))
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(lines(invalid)))
		})
	}
}

func TestEverythingIsTaken(t *testing.T) {
	c := load(t, Options{Path: "testdata/everything.good.yaml", Env: home()})
	same := Diff(Defaults(), Defaults())
	if len(same) > 0 {
		t.Errorf("the defaults differ from themselves in %v", same)
	}
	changed := map[string]bool{}
	for _, path := range Diff(Defaults(), c) {
		changed[path] = true
	}
	// These would invalidate others.
	untouched := []string{"otlp.tiered", "otlp.tls.insecure_skip_verify", "tls.self_signed"}
	for _, o := range Defaults().options() {
		of := strings.HasPrefix(o.path, "instruments.") && !changed[o.path]
		if !o.section && !changed[o.path] && !of && !slices.Contains(untouched, o.path) {
			t.Errorf("%s of the file was not taken", o.path)
		}
	}
	commands := c.Instruments.Custom.Commands
	if got := commands[1].Interval.String() + " " + commands[1].Timeout.String(); got != "10s 5s" {
		t.Errorf("a command's defaults are %s, want 10s 5s", got)
	}
	if got := string(c.Export.OTLP.Headers["authorization"]); got != "Bearer topsecret" {
		t.Errorf("the header is %q", got)
	}
}

func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sysotel.yaml")
	if err := os.WriteFile(file, []byte("otlp: {timeout: 1s, endpoint: 'http://file:1'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(env, args []string, timeout, where string) {
		t.Helper()
		c := load(t, Options{Path: file, Env: home(env...), Args: args})
		if got := c.Export.OTLP.Timeout.String(); got != timeout || c.Where("otlp.timeout") != where {
			t.Errorf("timeout is %s from %q, want %s from %q", got, c.Where("otlp.timeout"), timeout, where)
		}
		if c.Export.OTLP.Endpoint != "http://file:1" {
			t.Errorf("the endpoint of the file is lost: %q", c.Export.OTLP.Endpoint)
		}
	}
	otel := "OTEL_EXPORTER_OTLP_TIMEOUT=2000"
	metrics := "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=3000"
	own := "SYSOTEL_OTLP_TIMEOUT=4s"
	f(nil, nil, "1s", file+" line 1")
	f([]string{otel}, nil, "2s", "OTEL_EXPORTER_OTLP_TIMEOUT")
	f([]string{metrics, otel}, nil, "3s", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT")
	f([]string{metrics, own, otel}, nil, "4s", "SYSOTEL_OTLP_TIMEOUT")
	f([]string{metrics, own, otel}, []string{"--otlp.timeout", "5s"}, "5s", "--otlp.timeout")
}

func TestWhichFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("host: {name: "+name+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fallback, variable, option := write("fallback"), write("variable"), write("option")
	f := func(want string, o Options) {
		t.Helper()
		o.Env = append(o.Env, "HOME=/home/me")
		if got := load(t, o).Instruments.Host.Name; got != want {
			t.Errorf("took %q, want %q", got, want)
		}
	}
	f("", Options{})
	f("", Options{Path: filepath.Join(dir, "absent")})
	f("fallback", Options{Path: fallback})
	f("variable", Options{Path: fallback, Env: []string{"SYSOTEL_CONFIG=" + variable}})
	f("option", Options{Path: fallback, Env: []string{"SYSOTEL_CONFIG=" + variable}, Args: []string{"--config=" + option}})
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("# filler\n"), largestFile/8), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(path, want string) {
		t.Helper()
		_, invalid := Load(Options{Env: home(), Args: []string{"--config", path}})
		if got := lines(invalid); got != "configuration file: cannot read "+show(path)+": "+want+" (--config)\n" {
			t.Errorf("got %s", got)
		}
	}
	absent := filepath.Join(dir, "absent")
	_, err := os.Stat(absent)
	f(absent, withoutPath(err).Error())
	f(dir, "it is a directory")
	f(large, "it is larger than 1 MiB")
}

func TestDataDir(t *testing.T) {
	f := func(want string, o Options) {
		t.Helper()
		if got := filepath.ToSlash(load(t, o).DataDir); got != want {
			t.Errorf("data_dir is %q, want %q", got, want)
		}
	}
	f("/var/lib/sysotel", Options{Root: true, Env: home("XDG_STATE_HOME=/state")})
	f("/state/sysotel", Options{Env: home("XDG_STATE_HOME=/state")})
	f("/home/me/.local/state/sysotel", Options{Env: home("XDG_STATE_HOME=relative")})
	f("/home/me/.local/state/sysotel", Options{Env: home()})
	f("/srv", Options{Args: []string{"--data-dir=/srv"}})
	_, invalid := Load(Options{})
	if got := lines(invalid); !strings.HasPrefix(got, "data_dir: must be set") {
		t.Errorf("got %s", got)
	}
}

// FuzzFile feeds arbitrary files: errors are fine, panics are not.
func FuzzFile(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		file := filepath.Join(dir, "fuzz.yaml")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, invalid := Load(Options{Path: file, Env: home()})
		for _, m := range invalid {
			if s := m.String(); strings.ContainsAny(s, "\n\r\x1b") {
				t.Errorf("an error is not one line: %q", s)
			}
		}
	})
}
