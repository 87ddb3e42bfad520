package instruments

import (
	"strings"

	"sysotel/instruments/sanitize"
)

// maxProcessName bounds the names of processes and programs, in bytes. The
// kernel's own are at most 15; a script's or a Java class' name can be anything.
const maxProcessName = 128

// maxComm is the length at which the kernel cuts the name of a process
// (TASK_COMM_LEN less the byte that ends it).
const maxComm = 15

// maxCommandLine is how much is kept of a command line, in bytes.
const maxCommandLine = 4096

// processName is the name of a process: the kernel's, whole where the kernel cut it.
func processName(comm string, args []string, kernel bool) string {
	if !kernel && len(comm) >= maxComm && len(args) > 0 {
		if whole := executable(comm, args[0]); strings.HasPrefix(whole, comm) {
			comm = whole
		}
	}
	return cleanName(comm)
}

// programName is the name by which processes are added up. It is made of comm,
// the kernel's name, and of the command line, both of which the process can set
// as it likes.
//
//   - A kernel thread is named without its processor: "kworker/0:1-events" is "kworker".
//   - Where the kernel cut the name, the name in the command line is taken.
//   - An interpreter is named with what it runs: "python3:manage.py", "java:app.jar".
//   - The dash of a login shell is left out.
func programName(comm string, args []string, kernel bool) string {
	if kernel {
		name, _, _ := strings.Cut(comm, "/")
		return cleanName(name)
	}
	if len(args) == 0 || args[0] == "" {
		return cleanName(strings.TrimPrefix(comm, "-"))
	}
	first := baseName(strings.TrimPrefix(args[0], "-"))
	if script := interpreted(first, args[1:]); script != "" {
		script = baseName(script)
		// A script that is executable itself gives the process its own name,
		// and a process that renamed itself is no longer "the interpreter".
		short := strings.TrimPrefix(comm, "-")
		if strings.HasPrefix(first, short) || strings.HasPrefix(script, short) {
			return cleanName(first + ":" + script)
		}
	}
	return cleanName(executable(strings.TrimPrefix(comm, "-"), args[0]))
}

// executable is the name of the program in the first argument where that is the
// process' name too, or where the kernel cut the process' name; else comm. The
// first argument may be a title that the process wrote ("nginx: master process
// /usr/sbin/nginx"), so its first word is tried before the whole of it.
func executable(comm, first string) string {
	first = strings.TrimPrefix(first, "-")
	word, _, _ := strings.Cut(first, " ")
	word = strings.TrimSuffix(baseName(word), ":")
	for _, name := range [...]string{word, baseName(first)} {
		if comm != "" && strings.HasPrefix(name, comm) {
			return name
		}
	}
	if len(comm) >= maxComm && word != "" || comm == "" {
		return word
	}
	return comm
}

// interpreted is the script, module or class that an interpreter runs, "" where
// the program is no interpreter or runs text from its command line or input.
func interpreted(program string, args []string) string {
	interpreter := strings.TrimRight(program, "0123456789.")
	switch interpreter {
	case "python", "pypy":
		return script(args, options{text: "c", takes: "WX", module: "m"})
	case "node", "nodejs":
		return script(args, options{text: "ep", takes: "rC", long: []string{"--require", "--import", "--loader", "--experimental-loader", "--conditions", "--env-file"}, stop: []string{"--eval", "--print"}})
	case "ruby":
		return script(args, options{text: "e", takes: "ICr"})
	case "perl":
		return script(args, options{text: "eE", takes: "I"})
	case "php":
		return script(args, options{text: "rBRE", takes: "dczS", module: "f"})
	case "bash", "sh", "dash", "zsh", "ksh", "ash":
		return script(args, options{text: "cs", takes: "oO", long: []string{"--rcfile", "--init-file"}})
	case "java":
		return mainClass(args)
	}
	return ""
}

// options are what an interpreter's command line can hold before the script.
type options struct {
	// text are the letters after which no script comes, because the program's
	// text does; takes are those followed by a value; module is the one followed by
	// what to run.
	text, takes, module string
	// long are the long options followed by a value, stop those like text.
	long, stop []string
}

// script finds the first argument that is no option. Letters can be joined
// ("-ec"), and a value can be joined to its letter ("-Wignore").
func script(args []string, o options) string {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			if i+1 < len(args) {
				return args[i+1]
			}
			return ""
		case len(arg) < 2 || arg[0] != '-' && arg[0] != '+':
			if arg == "-" {
				return "" // The program comes from the standard input.
			}
			return arg
		case strings.HasPrefix(arg, "--"):
			for _, stop := range o.stop {
				if arg == stop || strings.HasPrefix(arg, stop+"=") {
					return ""
				}
			}
			for _, long := range o.long {
				if arg == long {
					i++
				}
			}
			continue
		}
	letters:
		for j := 1; j < len(arg); j++ {
			letter, joined := arg[j], arg[j+1:]
			switch {
			case strings.IndexByte(o.text, letter) >= 0:
				return ""
			case strings.IndexByte(o.module, letter) >= 0:
				if joined != "" {
					return joined
				}
				if i+1 < len(args) {
					return args[i+1]
				}
				return ""
			case strings.IndexByte(o.takes, letter) >= 0:
				if joined == "" {
					i++
				}
				break letters
			case letter < 'A' || letter > 'z':
				break letters // -0777, -i.bak and the like are followed by their value.
			}
		}
	}
	return ""
}

// mainClass is the archive, module or class that a Java machine runs.
func mainClass(args []string) string {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; arg {
		case "-jar", "-m", "--module":
			if i+1 < len(args) {
				return args[i+1]
			}
			return ""
		case "-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path",
			"--add-modules", "--add-exports", "--add-opens", "--add-reads", "--patch-module", "--source":
			i++
		default:
			if arg != "" && arg[0] != '-' && arg[0] != '@' {
				return arg
			}
		}
	}
	return ""
}

// baseName is what stands after the last slash (path.Base would give "." and "/").
func baseName(path string) string {
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// cleanName makes a name fit to be shown, and cuts it to maxProcessName bytes.
func cleanName(name string) string {
	return sanitize.Truncate(sanitize.ReplaceControl(name), maxProcessName)
}

// splitArguments takes /proc/PID/cmdline apart; each argument ends in a 0 byte,
// but a process can write over them.
func splitArguments(text []byte) []string {
	s := strings.TrimRight(string(text), "\x00")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}

// joinArguments is the command line as it is shown, fit for that like a name and
// cut to maxCommandLine bytes between two characters.
func joinArguments(args []string) string {
	return sanitize.Truncate(sanitize.ReplaceControl(strings.Join(args, " ")), maxCommandLine)
}
