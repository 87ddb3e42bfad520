package instruments

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestProgramName(t *testing.T) {
	f := func(comm, line, program string) {
		t.Helper()
		var args []string
		if line != "" {
			args = strings.Split(line, "|")
		}
		if got := programName(comm, args, false); got != program {
			t.Errorf("%q run as %q is %q, want %q", comm, line, got, program)
		}
	}
	// Ordinary programs.
	f("nginx", "/usr/sbin/nginx|-g|daemon off;", "nginx")
	f("nginx", "nginx: master process /usr/sbin/nginx", "nginx")
	f("nginx", "nginx: worker process", "nginx")
	f("postgres", "postgres: 16/main: checkpointer ", "postgres")
	f("sshd", "sshd: root@pts/0", "sshd")
	f("chrome", "/opt/google/chrome/chrome --type=renderer --lang=/x", "chrome")
	f("systemd", "/lib/systemd/systemd|--user", "systemd")
	f("top", "", "top")
	f("", "", "")
	f("", "/bin/x", "x")
	f("sleep", "|x", "sleep")
	f("x", "/", "x")
	// The kernel cuts names at 15 bytes.
	f("systemd-journal", "/lib/systemd/systemd-journald", "systemd-journald")
	f("NetworkManager", "/usr/sbin/NetworkManager|--no-daemon", "NetworkManager")
	f("prometheus-node", "/usr/bin/prometheus-node-exporter", "prometheus-node-exporter")
	f("Isolated Web Co", "/usr/lib/firefox/firefox|-contentproc", "firefox")
	f("my long app nam", "/opt/my long app name|x", "my long app name")
	f("a-kernel-likely", "", "a-kernel-likely")
	// A process that renamed itself keeps the name it chose.
	f("renamed", "/usr/bin/original", "renamed")
	// Login shells.
	f("bash", "-bash", "bash")
	f("-bash", "-bash", "bash")
	f("zsh", "-zsh", "zsh")
	// Python.
	f("python3", "python3|manage.py|runserver", "python3:manage.py")
	f("python3.13", "/usr/bin/python3.13|-u|/srv/app/worker.py", "python3.13:worker.py")
	f("python3", "/usr/bin/python3|-W|ignore|-X|dev|app.py", "python3:app.py")
	f("python3", "python3|-Wignore|app.py", "python3:app.py")
	f("python3", "python3|-m|http.server|8000", "python3:http.server")
	f("python3", "python3|-Bm|pytest", "python3:pytest")
	f("python3", "python3|-c|import x|app.py", "python3")
	f("python3", "python3|-mpytest|x", "python3:pytest")
	f("python3", "python3|-m", "python3")
	f("python3", "python3", "python3")
	f("python3", "python3|-", "python3")
	f("gunicorn", "/usr/bin/python3|/usr/bin/gunicorn|app:app", "python3:gunicorn")
	f("unattended-upgr", "/usr/bin/python3|/usr/share/unattended-upgrades/unattended-upgrade-shutdown|--wait", "python3:unattended-upgrade-shutdown")
	f("celery", "/usr/bin/python3|/srv/other.py", "celery")
	// Node.
	f("node", "node|server.js", "node:server.js")
	f("node", "/usr/bin/node|--max-old-space-size=4096|-r|dotenv/config|--require|x.js|/srv/index.js", "node:index.js")
	f("node", "node|-e|1", "node")
	f("node", "node|--eval|1|x.js", "node")
	f("MainThread", "/usr/bin/node|server.js", "MainThread")
	// Ruby, Perl, PHP.
	f("ruby", "ruby|-Ilib|bin/rails|s", "ruby:rails")
	f("perl", "perl|-w|-I|lib|tool.pl", "perl:tool.pl")
	f("perl", "/usr/bin/perl|-lane|print", "perl")
	f("perl", "perl|-0777|-pe|s///|x", "perl")
	f("php", "php|-d|memory_limit=1G|artisan|queue:work", "php:artisan")
	f("php", "php|-r|echo 1;", "php")
	// Shells.
	f("bash", "bash|/opt/backup.sh|-v", "bash:backup.sh")
	f("bash", "bash|-eu|-o|pipefail|run.sh", "bash:run.sh")
	f("backup.sh", "/bin/sh|/opt/backup.sh", "sh:backup.sh")
	f("sh", "sh|-c|exec something", "sh")
	f("sh", "sh|-ec|x|y", "sh")
	f("bash", "bash|--norc|--rcfile|x|go.sh", "bash:go.sh")
	f("bash", "bash|--|-odd.sh", "bash:-odd.sh")
	f("bash", "bash|--", "bash")
	// Java.
	f("java", "/usr/bin/java|-Xmx1g|-jar|/opt/app.jar|--port|1", "java:app.jar")
	f("java", "java|-cp|a.jar:b.jar|-Dx=y|org.example.Main|arg", "java:org.example.Main")
	f("java", "java|@options|-m|mod/org.example.Main", "java:org.example.Main")
	f("java", "java|-jar", "java")
	f("java", "java|-version", "java")
	// Hostile names.
	f("a\nb\x1b[31m", "", "a\uFFFDb\uFFFD[31m")
	f("sh", "sh|/tmp/x\r\nevil", "sh:x\uFFFD\uFFFDevil")
	f("x", "\xff\xfe", "x")
}

func TestKernelThreadName(t *testing.T) {
	for comm, want := range map[string]string{
		"kworker/0:1-events": "kworker", "kworker/u8:3": "kworker", "ksoftirqd/0": "ksoftirqd",
		"irq/24-nvme0q1": "irq", "jbd2/sda1-8": "jbd2", "kthreadd": "kthreadd", "-x": "-x", "": "",
	} {
		if got := programName(comm, nil, true); got != want {
			t.Errorf("%q is %q, want %q", comm, got, want)
		}
		if got := processName(comm, nil, true); got != comm {
			t.Errorf("the row of %q says %q", comm, got)
		}
	}
}

func TestProcessName(t *testing.T) {
	f := func(comm, arg, want string) {
		t.Helper()
		if got := processName(comm, []string{arg}, false); got != want {
			t.Errorf("%q run as %q is %q, want %q", comm, arg, got, want)
		}
	}
	f("python3", "/usr/bin/python3", "python3")
	f("systemd-journal", "/lib/systemd/systemd-journald", "systemd-journald")
	f("Isolated Web Co", "/usr/lib/firefox/firefox", "Isolated Web Co")
	f("bash", "-bash", "bash")
}

func FuzzProgramName(f *testing.F) {
	f.Add("bash", "bash\x00x.sh", false)
	f.Add("kworker/0:1", "", true)
	f.Add("java", "java\x00-jar\x00/x/", false)
	f.Add("python3", "python3\x00-m\x00\x00", false)
	f.Add("a\x00\xff", strings.Repeat("\u00e9", 200), false)
	f.Fuzz(func(t *testing.T, comm, line string, kernel bool) {
		args := splitArguments([]byte(line))
		for _, name := range []string{programName(comm, args, kernel), processName(comm, args, kernel)} {
			if len(name) > maxProcessName {
				t.Fatalf("%q has %d bytes", name, len(name))
			}
			if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
				t.Fatalf("%q is not fit to be shown", name)
			}
		}
		if shown := joinArguments(args); len(shown) > maxCommandLine || utf8.ValidString(line) && !utf8.ValidString(shown) {
			t.Fatalf("a command line of %d bytes is shown as %d", len(line), len(shown))
		}
	})
}

func TestLongNamesAreCutBetweenCharacters(t *testing.T) {
	got := cleanName(strings.Repeat("x", 127) + "\u00e9\u00e9")
	if want := strings.Repeat("x", 127); got != want {
		t.Errorf("got %q", got)
	}
	if got := joinArguments([]string{strings.Repeat("y", 4095), "z"}); got != strings.Repeat("y", 4095)+" " {
		t.Errorf("%d bytes are left of a long command line", len(got))
	}
	if got := joinArguments([]string{strings.Repeat("y", 4095) + "\u00e9"}); got != strings.Repeat("y", 4095) {
		t.Errorf("a character is cut apart: %q", got[4000:])
	}
}
