package command

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// targets are the systems that sysotel is released for; what is linked in differs.
var targets = []string{
	"linux/amd64", "linux/arm64", "linux/arm", "linux/riscv64", "darwin/amd64", "darwin/arm64", "windows/amd64",
}

// permitted are the licences that may be linked into a program that is handed
// on under MIT, and why. It is a statement of policy: a module under another
// licence is not added here to make a test pass.
var permitted = map[string]string{
	"Apache-2.0":   "permissive; the licence and the NOTICE text go along, which `version --licenses` does",
	"BSD-2-Clause": "permissive; copyright line and text go along",
	"BSD-3-Clause": "permissive; copyright line and text go along, names are not used to advertise",
	"ISC":          "permissive; copyright line and text go along",
	"MIT":          "our own; copyright line and text go along",
	"MPL-2.0":      "copyleft of its own files only: they are linked in unchanged, and the list says how to get their source",
}

// phrases tell a licence by words that stand in its text and in no other's. A
// text that has several is under all of them.
var phrases = map[string][]string{
	"Apache-2.0":   {"apache license version 2.0, january 2004", "licensed under the apache license, version 2.0"},
	"BSD-2-Clause": {"redistribution and use in source and binary forms"},
	"BSD-3-Clause": {"neither the name of", "the names of its contributors may not be used to endorse"},
	"ISC":          {"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee", "permission to use, copy, modify, and distribute this software for any purpose with or without fee"},
	"MIT":          {"permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files"},
	"MPL-2.0":      {"mozilla public license version 2.0", "mozilla public license, version 2.0", "mozilla public license, v. 2.0"},
	// These are known in order to be refused, also beside a permitted one. That
	// the MPL speaks of the GNU licences, with a comma, is no grant under them.
	"GPL": {
		"gnu general public license version", "gnu lesser general public license version", "gnu affero general public license version",
		"under the gnu", "under the terms of the gnu", "covered by the gnu",
	},
	"MPL-1.1":         {"mozilla public license version 1.1", "mozilla public license, version 1.1"},
	"EPL":             {"eclipse public license"},
	"CDDL":            {"common development and distribution license"},
	"SSPL":            {"server side public license"},
	"BUSL":            {"business source license"},
	"Commons-Clause":  {"commons clause"},
	"CC":              {"creative commons"},
	"Unlicense":       {"free and unencumbered software released into the public domain"},
	"PolyForm-Strict": {"polyform"},
}

// licensesOf names the licences in a text, none where it knows none.
func licensesOf(text string) []string {
	words := strings.ToLower(strings.Join(strings.Fields(text), " "))
	found := map[string]bool{}
	for name, any := range phrases {
		for _, p := range any {
			if strings.Contains(words, p) {
				found[name] = true
			}
		}
	}
	if found["BSD-3-Clause"] {
		delete(found, "BSD-2-Clause") // The shorter text is part of the longer.
	}
	return slices.Sorted(maps.Keys(found))
}

func TestLicensesOf(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := strings.Join(licensesOf(text), " AND "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	const bsd = "Redistribution and use in source and binary\n   forms, with or without modification, are permitted"
	f("", "")
	f("All rights reserved.", "")
	f(bsd, "BSD-2-Clause")
	f(bsd+"\nNeither the name of Google", "BSD-3-Clause")
	f("Apache License\n      Version 2.0, January 2004", "Apache-2.0")
	f("Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software and associated documentation files", "MIT")
	f("Permission to use, copy, modify, and/or distribute this software for any\npurpose with or without fee", "ISC")
	f(bsd+" ... alternatively under the GNU General Public License", "BSD-2-Clause AND GPL")
	f("GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007", "GPL")
	f("Mozilla Public License Version 2.0\n ... means either the GNU General Public License, Version 2.0", "MPL-2.0")
	f("Mozilla Public License Version 1.1", "MPL-1.1")
}

// linkedModule is one module that is built into sysotel on some system.
type linkedModule struct {
	path, version string
	// root is where its files are, folders those of them that have linked
	// packages: code taken from elsewhere keeps its licence beside it.
	root    string
	folders map[string]bool
}

func (m linkedModule) String() string { return strings.TrimSpace(m.path + " " + m.version) }

// listModules lists what is built in. The go command downloads what is missing.
func listModules(t *testing.T) []linkedModule {
	t.Helper()
	known := map[string]linkedModule{}
	for _, target := range targets {
		system, processor, _ := strings.Cut(target, "/")
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Dir,ImportPath,Module", "sysotel/agent")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+processor)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		listed, err := cmd.Output()
		if err != nil {
			t.Fatalf("list the packages of %s: %v\n%s", target, err, stderr.String())
		}
		for decoder := json.NewDecoder(strings.NewReader(string(listed))); ; {
			var p struct {
				Dir, ImportPath string
				Module          *struct {
					Path, Version, Dir string
					Main               bool
					Replace            *struct{ Path string }
				}
			}
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if p.Module == nil || p.Module.Main {
				continue
			}
			if p.Module.Replace != nil {
				t.Errorf("module %s is replaced", p.Module.Path)
			}
			m, ok := known[p.Module.Path]
			if !ok {
				m = linkedModule{p.Module.Path, p.Module.Version, p.Module.Dir, map[string]bool{}}
				known[m.path] = m
			}
			for dir := p.Dir; len(dir) >= len(m.root); dir = filepath.Dir(dir) {
				m.folders[dir] = true
			}
		}
	}
	// The standard library's version is the go command's and not told, so that
	// a newer one does not change the list.
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(string(root))
	known[standardLibrary] = linkedModule{standardLibrary, "", dir, map[string]bool{dir: true}}
	for _, m := range listWebModules(t) {
		known[m.path] = m
	}
	return slices.SortedFunc(maps.Values(known), func(a, b linkedModule) int { return strings.Compare(a.path, b.path) })
}

const standardLibrary = "Go standard library and runtime"

// webApp is where the web app is, which is embedded.
var webApp = filepath.Join("..", "..", "dashboards", "web")

// listWebModules lists the npm packages that the web app is bundled from: those in
// its lock file that are not for development only.
func listWebModules(t *testing.T) []linkedModule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(webApp, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct {
			Version string
			Dev     bool
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	var found []linkedModule
	for dir, p := range lock.Packages {
		_, name, ok := strings.Cut(dir, "node_modules/")
		if !ok || p.Dev {
			continue
		}
		root := filepath.Join(webApp, filepath.FromSlash(dir))
		found = append(found, linkedModule{"npm " + name, p.Version, root, map[string]bool{root: true}})
	}
	if len(found) == 0 {
		t.Fatal("the web app is made of no npm packages; is the pattern of this test still right?")
	}
	return found
}

// known returns the notices of a module in the embedded list, for npm packages that
// are not installed.
func known(m linkedModule) (found []notice) {
	for section := range strings.SplitSeq(licenses(), "\n"+rule) {
		// A section is the names of its files, then a rule, then the text.
		owners, _, _ := strings.Cut(section, "\n\n")
		for owner := range strings.Lines(owners) {
			if name, ok := strings.CutSuffix(strings.TrimSpace(owner), " of "+m.String()); ok {
				_, text, _ := strings.Cut(licenses(), "\n"+section+"\n"+rule+"\n")
				text, _, _ = strings.Cut(text, "\n"+rule)
				found = append(found, notice{name, tidy(text), true})
			}
		}
	}
	return found
}

// rule stands before and after the names of the files that hold a text.
const rule = "--------------------------------------------------------------------------------\n"

// notice is one text and whom it belongs to.
type notice struct {
	name, text string
	license    bool // Whether it grants rights; NOTICE and PATENTS go along with one that does.
}

// notices are the licence texts of a module, the one of its root first.
func notices(t *testing.T, m linkedModule) []notice {
	t.Helper()
	if _, err := os.Stat(m.root); os.IsNotExist(err) {
		return known(m)
	}
	var found []notice
	for _, dir := range slices.Sorted(maps.Keys(m.folders)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			stem, _, _ := strings.Cut(strings.ToUpper(e.Name()), ".")
			stem, _, _ = strings.Cut(stem, "-")
			grants := slices.Contains([]string{"LICENSE", "LICENCE", "COPYING", "UNLICENSE"}, stem)
			// It is the link to the picture of the README, which is not linked in.
			if e.Name() == "LICENSE-LOGO" {
				continue
			}
			if e.IsDir() || strings.HasSuffix(e.Name(), ".go") || !grants && stem != "NOTICE" && stem != "PATENTS" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(m.root, filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, notice{filepath.ToSlash(name), tidy(string(text)), grants})
		}
	}
	return found
}

// tidy makes texts that differ in line ends only the same.
func tidy(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\r\f")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
}

// printLicenses writes the list of modules and each text once.
func printLicenses(t *testing.T, modules []linkedModule) string {
	t.Helper()
	var list, texts strings.Builder
	var order []string
	owners := map[string][]string{}
	for _, m := range modules {
		granted := map[string]bool{}
		for _, n := range notices(t, m) {
			if n.license {
				names := licensesOf(n.text)
				if len(names) == 0 {
					t.Errorf("%s: the licence in %s is not known", m, n.name)
				}
				for _, name := range names {
					granted[name] = true
					if permitted[name] == "" {
						t.Errorf("%s: %s is under %s, which may not be handed on under MIT", m, n.name, name)
					}
				}
			}
			if owners[n.text] == nil {
				order = append(order, n.text)
			}
			owners[n.text] = append(owners[n.text], n.name+" of "+m.String())
		}
		if len(granted) == 0 {
			t.Errorf("%s has no licence text", m)
		}
		fmt.Fprintf(&list, "%s: %s\n", m, strings.Join(slices.Sorted(maps.Keys(granted)), " AND "))
	}
	for _, text := range order {
		fmt.Fprintf(&texts, "\n%s%s\n%s\n%s", rule, strings.Join(owners[text], "\n"), rule, text)
	}
	return "sysotel is under the MIT licence. Built into it, on one system or another, are the\n" +
		"modules below, each under its own licence; the texts follow, each once, under the\n" +
		"names of the files that hold it. The source of a module, which is unchanged, is what\n" +
		"`go mod download MODULE@VERSION` fetches, or `npm pack PACKAGE@VERSION`.\n\n" + list.String() + texts.String()
}

// TestGoldenLicenses compares the embedded notices with the modules that are linked
// in; `make golden` rewrites them.
func TestGoldenLicenses(t *testing.T) {
	modules := listModules(t)
	want := printLicenses(t, modules)
	if *update {
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(w, want)
		if err = errors.Join(err, w.Close(), os.WriteFile("licenses.txt", []byte(want), 0o644), os.WriteFile("licenses.txt.gz", packed.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, m := range modules {
		if !strings.Contains(licenses(), "\n"+m.String()+": ") {
			t.Errorf("licenses.txt does not list %s; run make golden", m)
		}
	}
	if licenses() != want {
		t.Error("licenses.txt.gz is not what the linked modules say; run make golden")
	}
	if text, err := os.ReadFile("licenses.txt"); err != nil || string(text) != want {
		t.Errorf("licenses.txt is not what the linked modules say; run make golden (%v)", err)
	}
}

// TestLicensesHoldEveryModule holds the notices against go.mod: what is printed
// must be of the versions that are built.
func TestLicensesHoldEveryModule(t *testing.T) {
	listed, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("read go.mod: %v", err)
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(listed, &mod); err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{standardLibrary: true}
	for _, m := range listWebModules(t) {
		required[m.String()] = true
	}
	for _, r := range mod.Require {
		required[r.Path+" "+r.Version] = true
	}
	text, err := os.ReadFile("licenses.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n\n")
	list, _, _ := strings.Cut(rest, "\n\n")
	rows := 0
	for row := range strings.Lines(list) {
		module, spdx, ok := strings.Cut(strings.TrimSpace(row), ": ")
		if !ok || spdx == "" {
			t.Errorf("licenses.txt: %q has no licence", row)
		}
		if !required[module] {
			t.Errorf("licenses.txt lists %s, which neither go.mod nor package-lock.json requires", module)
		}
		rows++
	}
	if rows < 2 {
		t.Errorf("licenses.txt lists %d modules", rows)
	}
}

// TestLicensesOfWebApp: without Node the notices of npm packages are those that are
// embedded, and they are the same.
func TestLicensesOfWebApp(t *testing.T) {
	for _, m := range listWebModules(t) {
		embedded := known(m)
		if len(embedded) == 0 {
			t.Errorf("%s has no embedded notice", m)
		}
		if _, err := os.Stat(m.root); err == nil && !slices.Equal(notices(t, m), embedded) {
			t.Errorf("%s has other notices installed than embedded", m)
		}
	}
}
