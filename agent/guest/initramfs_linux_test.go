package guest

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
)

// An initramfs is the first file system of a guest, in memory: what is in it by path.
type initramfs map[string]file

type file struct {
	content []byte
	// link is what a symbolic link points to.
	link string
}

// add adds a file of this machine.
func (i initramfs) add(t *testing.T, to, from string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	i[to] = file{content: content}
}

// write writes the archive, as the kernel's Documentation/driver-api/early-userspace/buffer-format.rst
// describes it.
func (i initramfs) write(t *testing.T, to string) {
	t.Helper()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	w := cpio.NewWriter(out)
	seen := map[string]bool{".": true, "/": true}
	var folder func(dir string)
	folder = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		folder(path.Dir(dir))
		if err := w.WriteHeader(&cpio.Header{Name: strings.TrimPrefix(dir, "/"), Mode: cpio.TypeDir | 0o755, Links: 2}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i)) {
		folder(path.Dir(name))
		f := i[name]
		content, mode := f.content, cpio.FileMode(cpio.TypeReg|0o755)
		if f.link != "" {
			content, mode = []byte(f.link), cpio.TypeSymlink|0o777
		}
		if err := w.WriteHeader(&cpio.Header{Name: strings.TrimPrefix(name, "/"), Mode: mode, Links: 1, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

// addProgram adds a program of the unpacked packages at its own path, with the libraries
// that it needs.
func (i initramfs) addProgram(t *testing.T, tree, name string) {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/lib/systemd", "/lib/systemd"} {
		if from, err := filepath.EvalSymlinks(filepath.Join(tree, dir, name)); err == nil {
			i.add(t, path.Join(dir, name), from)
			i.addLibraries(t, tree, from)
			return
		}
	}
	t.Fatalf("no package of the guests has a program %s", name)
}

// addLibraries adds what the dynamic linker will look for.
func (i initramfs) addLibraries(t *testing.T, tree, program string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		return // A script.
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	if section := f.Section(".interp"); section != nil {
		needed = append(needed, "ld-linux-x86-64.so.2")
		i["/lib64/ld-linux-x86-64.so.2"] = file{link: "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"}
	}
	for _, library := range needed {
		to := "/lib/x86_64-linux-gnu/" + library
		if _, there := i[to]; there {
			continue
		}
		found := false
		for _, dir := range []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu/systemd", "/lib/systemd"} {
			// Links of packages may be absolute; those of libraries are not.
			if from, err := filepath.EvalSymlinks(filepath.Join(tree, dir, library)); err == nil {
				i.add(t, to, from)
				i.addLibraries(t, tree, from)
				found = true
				break
			}
		}
		if !found {
			t.Fatalf("%s needs %s, which no package of the guests has", program, library)
		}
	}
}

// addModules adds kernel modules with those that they need, and what modprobe reads to find
// them. Those that are built in are passed over.
func (i initramfs) addModules(t *testing.T, kernel string, wanted ...string) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(kernel, "lib/modules/*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("modules of %s: %v %v", kernel, dirs, err)
	}
	to := "/lib/modules/" + filepath.Base(dirs[0])
	all := map[string]string{}
	err = filepath.WalkDir(dirs[0], func(name string, _ fs.DirEntry, err error) error {
		if before, _, ok := strings.Cut(filepath.Base(name), ".ko"); ok {
			all[strings.ReplaceAll(before, "-", "_")] = name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := os.ReadFile(filepath.Join(dirs[0], "modules.builtin"))
	if err != nil {
		t.Fatal(err)
	}
	var dependencies, aliases strings.Builder
	needs := map[string][]string{}
	var add func(name string, required bool) []string
	add = func(name string, required bool) []string {
		name = strings.ReplaceAll(name, "-", "_")
		if chain, there := needs[name]; there {
			return chain
		}
		from, there := all[name]
		if !there {
			if required && !strings.Contains(strings.ReplaceAll(string(builtin), "-", "_"), "/"+name+".ko") {
				t.Fatalf("the kernel in %s has no module %s", kernel, name)
			}
			return nil
		}
		content := moduleContent(t, from)
		var chain []string
		needs[name] = nil // Against circles of soft dependencies.
		for key, values := range moduleInfo(t, name, content) {
			for _, value := range values {
				switch key {
				case "depends":
					for _, d := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' }) {
						chain = append(chain, add(d, true)...)
					}
				case "softdep":
					for _, d := range strings.Fields(value) {
						if !strings.HasSuffix(d, ":") {
							add(d, false)
						}
					}
				case "alias":
					aliases.WriteString("alias " + value + " " + name + "\n")
				}
			}
		}
		i[to+"/"+name+".ko"] = file{content: content}
		// What is needed first is first here, and last in modules.dep.
		var order []string
		for _, d := range chain {
			if !slices.Contains(order, d) {
				order = append(order, d)
			}
		}
		dependencies.WriteString(name + ".ko:")
		for _, d := range slices.Backward(order) {
			dependencies.WriteString(" " + d + ".ko")
		}
		dependencies.WriteString("\n")
		needs[name] = append(order, name)
		return needs[name]
	}
	for _, name := range wanted {
		add(name, true)
	}
	i[to+"/modules.dep"] = file{content: []byte(dependencies.String())}
	i[to+"/modules.builtin"] = file{content: builtin}
	i[to+"/modules.alias"] = file{content: []byte(aliases.String())}
}

// moduleContent returns a module, unpacked where the package has it packed.
func moduleContent(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".xz") {
		return content
	}
	unxz := exec.CommandContext(t.Context(), filepath.Join(unpacked(t), "bin/busybox"), "unxz")
	unxz.Stdin = bytes.NewReader(content)
	if content, err = unxz.Output(); err != nil {
		t.Fatalf("unpack %s: %v", path, err)
	}
	return content
}

// moduleInfo returns what a module says of itself, as modinfo(8) prints it.
func moduleInfo(t *testing.T, name string, content []byte) map[string][]string {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("module %s: %v", name, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		t.Fatalf("module %s has no information", name)
	}
	text, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	info := map[string][]string{}
	for entry := range strings.SplitSeq(string(text), "\x00") {
		if key, value, ok := strings.Cut(entry, "="); ok {
			info[key] = append(info[key], value)
		}
	}
	return info
}
