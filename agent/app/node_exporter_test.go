package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInPlaceOfNodeExporter: a running node_exporter is found by its arguments, and what
// stands in for it is a configuration that is valid.
func TestInPlaceOfNodeExporter(t *testing.T) {
	root := t.TempDir()
	write := func(pid string, arguments ...string) {
		dir := filepath.Join(root, "proc", pid)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte(strings.Join(arguments, "\x00")+"\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("5", "/usr/bin/vi", "node_exporter")
	write("6")
	if got := InPlaceOfNodeExporter(root); got != "" {
		t.Errorf("without one: %s", got)
	}
	write("77", "/usr/bin/prometheus-node-exporter", "--collector.textfile.directory=/var/lib/node_exporter", "--web.listen-address", "10.0.0.1:9100",
		"--no-collector.arp", "--no-collector.wifi", "--collector.diskstats.device-exclude=^ram\x1b", "--log.level=info", "--path.rootfs=/host")
	const head = "# A node_exporter runs on this machine. With these options the agent stands in for it,\n# once node_exporter is stopped:\n"
	equal(t, InPlaceOfNodeExporter(root), head+`# --no-collector.wifi: has nothing that stands in for it; what the agent measures stays as it is
# --collector.diskstats.device-exclude ^ram?: see instruments.disk.exclude
custom:
    textfile:
        - /var/lib/node_exporter
host:
    root: /host
instruments:
    arp:
        enabled: false
prometheus:
    insecure: true
    listen: 10.0.0.1:9100
    node_exporter: full
`)
	write("9", "node_exporter", "--web.config.file=/etc/web.yml")
	equal(t, InPlaceOfNodeExporter(root), head+"prometheus:\n    listen: :9100\n    node_exporter: full\n    web_config: /etc/web.yml\n")
}
