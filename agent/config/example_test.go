package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestGoldenExample(t *testing.T) { golden(t, "sysotel.example.yaml", exampleFile()) }

func TestGoldenHelp(t *testing.T) { golden(t, "testdata/help.txt", []byte(Help())) }

// TestExampleIsTheDefaults loads the example as it is, and with every option
// uncommented: neither changes a default.
func TestExampleIsTheDefaults(t *testing.T) {
	bare := load(t, Options{Env: home()})
	active := regexp.MustCompile(`(?m)^( *)#([a-z])`).ReplaceAll(exampleFile(), []byte("$1$2"))
	for name, content := range map[string][]byte{"as it is": exampleFile(), "active": active} {
		file := filepath.Join(t.TempDir(), "sysotel.yaml")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		// Load sets data_dir, which is empty in the file.
		c := load(t, Options{Path: file, Env: home()})
		if changed := Diff(bare, c); len(changed) > 0 {
			t.Errorf("the example %s changes %v", name, changed)
		}
		for _, o := range c.options() {
			if set := c.Where(o.path) != ""; !o.section && set != (name == "active") {
				t.Errorf("the example %s: %s set is %v", name, o.path, set)
			}
		}
	}
}

// TestEveryFieldIsAnOption: each field of each Config has a key, a help text, a line
// in the example, a flag and a variable.
func TestEveryFieldIsAnOption(t *testing.T) {
	var check func(reflect.Type)
	check = func(structType reflect.Type) {
		for _, f := range fields(structType) {
			if f.key == "" || f.help() == "" {
				t.Errorf("%s.%s lacks a yaml or a help tag", structType, f.Name)
			}
			if !strings.HasSuffix(f.help(), ".") {
				t.Errorf("the help of %s.%s is not a sentence", structType, f.Name)
			}
			of := f.Type
			for of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
				of = of.Elem()
			}
			if of.Kind() == reflect.Struct {
				check(of)
			}
		}
	}
	check(reflect.TypeFor[Config]())

	example, variables, flags := string(exampleFile()), map[string]bool{}, map[string]bool{}
	for _, o := range Defaults().options() {
		if !strings.Contains(example, "#"+o.key()+": "+o.yaml()) && !o.section {
			t.Errorf("%s is not in the example", o.path)
		}
		if variables[o.variable()] || flags[o.flag()] {
			t.Errorf("%s has the flag or the variable of another option", o.path)
		}
		variables[o.variable()], flags[o.flag()] = true, true
	}
	for _, want := range []string{"SYSOTEL_HTTP_LISTEN", "SYSOTEL_PROCESSES_COMMAND_LINE", "SYSOTEL_INSTRUMENTS_NETWORK_EXCLUDE"} {
		if !variables[want] {
			t.Errorf("no variable %s", want)
		}
	}
	for _, want := range []string{"--data-dir", "--otlp.tls.insecure-skip-verify", "--instruments.cpu.interval"} {
		if !flags[want] {
			t.Errorf("no flag %s", want)
		}
	}
}

// TestEveryOptionCanBeSetByText sets each option by its flag to its own default.
func TestEveryOptionCanBeSetByText(t *testing.T) {
	for _, o := range Defaults().options() {
		if o.section || o.fileOnly() {
			continue
		}
		text := strings.Trim(o.yaml(), `"[]{}`)
		text = strings.ReplaceAll(text, "'", "")
		c := load(t, Options{Env: home(), Args: []string{o.flag() + "=" + text}})
		if changed := Diff(load(t, Options{Env: home()}), c); len(changed) > 0 {
			t.Errorf("%s=%s changes %v", o.flag(), text, changed)
		}
	}
}
