package app

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sysotel/agent/loopback"
)

// InPlaceOfNodeExporter looks for a node_exporter that runs on the machine whose files are
// below root, and returns the configuration that stands in for it, as YAML with comments;
// "" if none runs, or it cannot be seen.
func InPlaceOfNodeExporter(root string) string {
	for _, arguments := range nodeExporters(cmp.Or(root, "/")) {
		return inPlaceOf(arguments) // More than one is rare; all have the same names.
	}
	return ""
}

// nodeExporters are the arguments of the running ones, the oldest process first.
func nodeExporters(root string) (all [][]string) {
	found, _ := filepath.Glob(filepath.Join(root, "proc", "[0-9]*", "cmdline")) // The pattern is valid.
	number := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // 0 for none.
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended, or is another user's.
		}
		arguments := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if name := filepath.Base(arguments[0]); name == "node_exporter" || name == "prometheus-node-exporter" {
			all = append(all, arguments)
		}
	}
	return all
}

// nodeFlags are flags of node_exporter with the option that stands in for each.
var nodeFlags = map[string]string{
	"collector.arp": "instruments.arp", "collector.conntrack": "instruments.conntrack", "collector.netstat": "instruments.netstat",
	"collector.schedstat": "instruments.schedstat", "collector.softnet": "instruments.softnet", "collector.pressure": "instruments.pressure",
	"collector.vmstat": "instruments.vmstat", "collector.hwmon": "instruments.sensors",

	"collector.diskstats.device-exclude": "instruments.disk.exclude", "collector.diskstats.device-include": "instruments.disk.include",
	"collector.netdev.device-exclude": "instruments.network.exclude", "collector.netdev.device-include": "instruments.network.include",
	"collector.netclass.ignored-devices":        "instruments.network.exclude",
	"collector.filesystem.mount-points-exclude": "instruments.filesystem.exclude",
	"collector.filesystem.fs-types-exclude":     "instruments.filesystem.exclude",
	"collector.filesystem.mount-points-include": "instruments.filesystem.include",
	"collector.filesystem.fs-types-include":     "instruments.filesystem.include",
	"collector.processes":                       "the collector processes, which is on",
	"collector.systemd":                         "",
	"collector.filesystem.ignored-mount-points": "instruments.filesystem.exclude",
	"collector.filesystem.ignored-fs-types":     "instruments.filesystem.exclude",
	"collector.netdev.ignored-devices":          "instruments.network.exclude",
	"collector.diskstats.ignored-devices":       "instruments.disk.exclude",
}

// inPlaceOf is the configuration for the arguments of a node_exporter.
func inPlaceOf(arguments []string) string {
	type section map[string]any
	page := section{"node_exporter": "full", "listen": ":9100"}
	whole, switched := section{"prometheus": page}, section{}
	var textfiles, notes []string
	for i := 1; i < len(arguments); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(arguments[i], "-"), "=")
		if !hasValue && i+1 < len(arguments) && !strings.HasPrefix(arguments[i+1], "-") {
			i++
			value = arguments[i]
		}
		on := !strings.HasPrefix(name, "no-")
		switch option, known := nodeFlags[strings.TrimPrefix(name, "no-")]; {
		case name == "web.listen-address":
			if page["listen"] = value; page["listen"] == "" {
				page["listen"] = ":9100"
			}
		case name == "web.config.file":
			page["web_config"] = value
		case name == "collector.textfile.directory":
			textfiles = append(textfiles, value)
		case name == "path.rootfs" && filepath.Clean(value) != "/":
			whole["host"] = section{"root": value}
		case strings.HasPrefix(name, "log."), strings.HasPrefix(name, "web."), strings.HasPrefix(name, "path."), strings.HasPrefix(name, "runtime."):
		case known && strings.Count(name, ".") == 1 && strings.HasPrefix(option, "instruments."):
			if !on {
				switched[strings.TrimPrefix(option, "instruments.")] = section{"enabled": false}
			}
		case known && option != "":
			notes = append(notes, fmt.Sprintf("--%s: see %s", strings.Join([]string{name, value}, " "), option))
		default:
			notes = append(notes, "--"+name+": has nothing that stands in for it; what the agent measures stays as it is")
		}
	}
	if host, _, err := net.SplitHostPort(fmt.Sprint(page["listen"])); err == nil && page["web_config"] == nil && !loopback.Host(host) {
		page["insecure"] = true // As it is now.
	}
	if len(textfiles) > 0 {
		whole["custom"] = section{"textfile": textfiles}
	}
	if len(switched) > 0 {
		whole["instruments"] = switched
	}
	text, err := yaml.Marshal(whole)
	if err != nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("# A node_exporter runs on this machine. With these options the agent stands in for it,\n# once node_exporter is stopped:\n")
	for _, note := range notes {
		b.WriteString("# " + strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return '?'
			}
			return r
		}, note) + "\n")
	}
	b.Write(text)
	return b.String()
}
