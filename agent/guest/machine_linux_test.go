package guest

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

//go:embed init.sh
var initScript []byte

var buildOnce sync.Once

// hardware describes a guest. The zero value has one processor and no disk.
type hardware struct {
	// memory is in MiB; 0 is 512, and what is negative is said by devices.
	memory int
	// processors is what -smp takes; "" is one.
	processors string
	// modules are those of the kernel that scripts load by modprobe, tools the programs
	// that they run besides busybox's.
	modules, tools []string
	// devices are further arguments of QEMU, parameters of the kernel.
	devices    []string
	parameters string
	// helper adds this test program, for what helperVariable names.
	helper bool
}

// A machine is a guest that runs.
type machine struct {
	t *testing.T
	// tick is the agent's, in seconds.
	tick    int
	console string
	qemu    *programs.Process
	shell   net.Conn
	answers *bufio.Reader
	monitor *monitor
}

// bootLimit bounds the start of a guest, scriptLimit a script. Both are for a machine whose
// processors are shared; nothing here is judged by time.
const bootLimit, scriptLimit = 5 * time.Minute, 5 * time.Minute

// boot starts a guest, which ends with the test.
func boot(t *testing.T, line string, h hardware) *machine {
	t.Helper()
	needPrograms(t)
	image, tree := kernel(t, line), unpacked(t)
	root := initramfs{"/init": {content: initScript}, "/sbin/modprobe": {link: "/bin/busybox"}}
	root.add(t, "/bin/busybox", filepath.Join(tree, "bin/busybox"))
	// The shell of busybox prefers its own programs to those of the packages.
	root.addProgram(t, tree, "dash")
	root["/bin/sh"] = file{link: "dash"}
	root.add(t, "/sysotel", agentBinary(t))
	root["/etc/passwd"] = file{content: []byte("root:x:0:0:root:/root:/bin/sh\n")}
	for _, tool := range h.tools {
		root.addProgram(t, tree, tool)
	}
	if h.helper {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		root.add(t, "/helper", program)
		root.addLibraries(t, tree, program)
	}
	// File systems ask for this by what it does, not by its name.
	root.addModules(t, image, append([]string{"crc32c_generic"}, h.modules...)...)
	return start(t, image, root, h)
}

// start starts a guest with that first file system.
func start(t *testing.T, image string, root initramfs, h hardware) *machine {
	t.Helper()
	dir := t.TempDir()
	root.write(t, filepath.Join(dir, "initramfs"))
	vmlinuz, err := filepath.Glob(filepath.Join(image, "boot/vmlinuz-*"))
	if err != nil || len(vmlinuz) != 1 {
		t.Fatalf("kernels in %s: %v %v", image, vmlinuz, err)
	}
	if h.memory == 0 {
		h.memory = 512
	}
	if h.processors == "" {
		h.processors = "1"
	}
	m := &machine{t: t, tick: 1, console: filepath.Join(dir, "console")}
	listen := func(name string) net.Listener {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	shell, control := listen("shell"), listen("monitor")
	memory := strconv.Itoa(h.memory)
	if h.memory < 0 { // The devices say it.
		memory = ""
	}
	args := []string{
		"-accel", "tcg", "-display", "none", "-nic", "none", "-vga", "none", "-no-reboot", "-smp", h.processors,
		"-kernel", vmlinuz[0], "-initrd", filepath.Join(dir, "initramfs"),
		"-append", "console=ttyS0 panic=-1 mitigations=off loglevel=5 " + h.parameters,
		"-serial", "file:" + m.console,
		"-chardev", "socket,id=shell,path=" + filepath.Join(dir, "shell"), "-serial", "chardev:shell",
		"-chardev", "socket,id=monitor,path=" + filepath.Join(dir, "monitor"), "-mon", "chardev=monitor,mode=control",
	}
	if memory != "" {
		args = append(args, "-m", memory)
	}
	// Others share the processors. The guest ends after the cleanup that asks it what it knows.
	m.qemu = programs.Start(t, exec.CommandContext(context.WithoutCancel(t.Context()), "nice", append([]string{"-n", "5", "qemu-system-x86_64"}, append(args, h.devices...)...)...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the guest's console:\n%s", m.log())
		}
	})
	m.monitor = newMonitor(t, m.accept(control))
	m.shell = m.accept(shell)
	m.answers = bufio.NewReader(m.shell)
	if word := m.answer(bootLimit); word != "ready" {
		t.Fatalf("the guest began with %q", word)
	}
	return m
}

// accept waits for QEMU to connect.
func (m *machine) accept(l net.Listener) net.Conn {
	m.t.Helper()
	if err := l.(*net.UnixListener).SetDeadline(time.Now().Add(bootLimit)); err != nil {
		m.t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		m.t.Fatalf("QEMU does not connect: %v\n%s", err, m.qemu.Output())
	}
	m.t.Cleanup(func() { _ = c.Close() })
	return c
}

// log returns the end of what the kernel wrote to the console.
func (m *machine) log() string {
	text, err := os.ReadFile(m.console)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-16<<10):])
}

// answer reads a line from the guest.
func (m *machine) answer(limit time.Duration) string {
	m.t.Helper()
	if err := m.shell.SetReadDeadline(time.Now().Add(limit)); err != nil {
		m.t.Fatal(err)
	}
	line, err := m.answers.ReadString('\n')
	if err != nil {
		m.t.Fatalf("the guest does not answer: %v\n%s", err, m.qemu.Output())
	}
	return strings.TrimSpace(line)
}

// try runs a script in the guest and returns its output and exit code.
func (m *machine) try(script string) (string, int) {
	m.t.Helper()
	if _, err := fmt.Fprintf(m.shell, "%s\n", base64.StdEncoding.EncodeToString([]byte(script))); err != nil {
		m.t.Fatal(err)
	}
	line := m.answer(scriptLimit)
	number, packed, _ := strings.Cut(line, " ")
	code, err := strconv.Atoi(number)
	if err != nil {
		m.t.Fatalf("the guest answers %q", line)
	}
	said, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		m.t.Fatalf("the guest answers %q: %v", line, err)
	}
	return string(said), code
}

// sh runs a script in the guest, which must succeed line by line, and returns its output.
func (m *machine) sh(script string) string {
	m.t.Helper()
	said, code := m.try("set -e\n" + script)
	if code != 0 {
		m.t.Fatalf("exit code %d of a script in the guest\n%s\n%s", code, script, said)
	}
	return said
}

// help has the helper do something in the guest.
func (m *machine) help(words ...string) {
	m.t.Helper()
	m.sh(helperVariable + "='" + strings.Join(words, " ") + "' /helper")
}

// switchRoot makes a directory of the guest its root, with a first process that is there.
func (m *machine) switchRoot(dir, first string) {
	m.t.Helper()
	m.sh("echo " + dir + " " + first + " >/run/root")
	if word := m.answer(bootLimit); word != "ready" {
		m.t.Fatalf("the guest began anew with %q", word)
	}
}

// monitor is the control connection of a QEMU: docs/interop/qmp-spec.txt.
type monitor struct {
	t    *testing.T
	conn net.Conn
	read *json.Decoder
}

type monitorAnswer struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
}

func newMonitor(t *testing.T, conn net.Conn) *monitor {
	m := &monitor{t: t, conn: conn, read: json.NewDecoder(conn)}
	var greeting json.RawMessage
	if err := m.read.Decode(&greeting); err != nil {
		t.Fatalf("the monitor does not greet: %v", err)
	}
	m.do("qmp_capabilities", nil)
	return m
}

// do runs a command of the monitor.
func (m *monitor) do(command string, arguments map[string]any) json.RawMessage {
	m.t.Helper()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := m.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		m.t.Fatal(err)
	}
	for {
		var a monitorAnswer
		if err := m.read.Decode(&a); err != nil {
			m.t.Fatalf("the monitor does not answer %s: %v", command, err)
		}
		switch {
		case a.Event != "":
		case a.Error != nil:
			m.t.Fatalf("the monitor refuses %s: %s", command, a.Error.Desc)
		default:
			return a.Return
		}
	}
}
