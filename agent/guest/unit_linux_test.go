package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// systemImage returns the path of a disk image with systemd, made once from the packages.
func systemImage(t *testing.T) string {
	t.Helper()
	tree := unpacked(t)
	dir := cached(t, "system-"+filepath.Base(tree), func(dir string) {
		output(t, "mkfs.ext4", "-q", "-d", tree, filepath.Join(dir, "disk"), "1G")
	})
	return filepath.Join(dir, "disk")
}

// shellService runs what answers the tests.
const shellService = `[Unit]
DefaultDependencies=no
[Service]
Type=simple
ExecStart=/bin/busybox sh /init
[Install]
WantedBy=multi-user.target
`

// bootSystem starts a guest with systemd from a disk of its own, vda, before those of the hardware.
// The agent is installed there with the shipped unit, and not started. The script runs before,
// in the root of that system.
func bootSystem(t *testing.T, kernel string, h hardware, script string) *machine {
	t.Helper()
	needPrograms(t)
	unit, err := os.ReadFile(filepath.Join("..", "packaging", "sysotel.service"))
	if err != nil {
		t.Fatal(err)
	}
	h.memory, h.processors = 1024, "2"
	h.modules = append(h.modules, "virtio_pci", "virtio_blk", "ext4")
	h.parameters = "systemd.unit=multi-user.target systemd.firstboot=off systemd.show_status=0"
	h.devices = append([]string{"-drive", "if=none,format=raw,snapshot=on,id=system,file=" + systemImage(t), "-device", "virtio-blk-pci,drive=system"}, h.devices...)
	m := boot(t, kernel, h)
	m.sh("for i in virtio_pci virtio_blk ext4; do modprobe $i; done; sleep 1; mkdir /new; mount /dev/vda /new; cd /new; mkdir -p usr/local/bin etc/systemd/system/multi-user.target.wants proc sys dev run tmp root home srv var/lib etc/sysotel" + `
		cp /sysotel usr/local/bin/; cp /init init; cp -a /lib/modules lib/; rm -f etc/systemd/system/multi-user.target.wants/*
		printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nguest:x:1000:1000::/:/bin/sh\n' >etc/passwd
		printf 'root:x:0:\nnogroup:x:65534:\nguest:x:1000:\n' >etc/group; printf 'passwd: files systemd\ngroup: files systemd\n' >etc/nsswitch.conf
		echo 0123456789abcdef0123456789abcdef >etc/machine-id; echo guest >etc/hostname
		cat >etc/systemd/system/sysotel.service <<'END'
` + string(unit) + "END\ncat >etc/systemd/system/shell.service <<'END'\n" + shellService + `END
		ln -s ../shell.service etc/systemd/system/multi-user.target.wants/
		echo SYSOTEL_CONFIG=/etc/sysotel/sysotel.yaml >etc/sysotel/sysotel.env
		cat >etc/sysotel/sysotel.yaml <<'END'
` + slowConfig(1) + "END\ncp etc/sysotel/sysotel.yaml etc/; chmod 755 etc/sysotel; chmod 644 etc/sysotel/*\n" + script)
	m.switchRoot("/new", "/lib/systemd/systemd")
	return m
}

// TestGuestUnit runs the shipped unit under systemd, beside an agent that is root and restricted
// by nothing: what the unit closes costs no number.
func TestGuestUnit(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		h := mountHardware(t)
		h.modules = append(h.modules, "autofs4")
		m := bootSystem(t, kernel, h, `modprobe autofs4
			printf '[Mount]\nWhat=/dev/vde\nWhere=/srv/automatic\nType=ext4\n' >etc/systemd/system/srv-automatic.mount
			printf '[Automount]\nWhere=/srv/automatic\n' >etc/systemd/system/srv-automatic.automount`)
		m.sh(`for d in vdb vdc vde; do mkfs.ext4 -q /dev/$d; done; mkdir -p /home/guest/private/disk /srv/later; chmod 700 /home/guest/private
			mount /dev/vdb /home/guest/private/disk; systemctl start srv-automatic.automount sysotel; sleep 2; systemctl is-active sysotel`)
		const free = "http://127.0.0.1:18080"
		m.sh("sysotel run --config /etc/sysotel.yaml --data-dir /root/data --http.listen 127.0.0.1:18080 --prometheus.listen '' >/run/sysotel.log 2>&1 & :")
		// What comes after the unit has started: a disk, a program of somebody else's, a lack of memory.
		m.sh(`mount /dev/vdc /srv/later; chmod 777 /srv/later
			su guest -c '(dd if=/dev/zero of=/srv/later/file bs=1M count=20 conv=fsync; exec sleep 1000) 2>/dev/null' >/dev/null & 
			sleep 8; mkdir /sys/fs/cgroup/small; echo 20M >/sys/fs/cgroup/small/memory.max; echo 0 >/sys/fs/cgroup/small/memory.swap.max 2>/dev/null || :
			(echo 0 >/sys/fs/cgroup/small/cgroup.procs; exec tail /dev/zero) || :; sleep 3`)
		document := func(from, path string) map[string]any {
			t.Helper()
			var d map[string]any
			said := m.sh("wget -q -O - '" + from + path + "'")
			if err := json.Unmarshal([]byte(said), &d); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			return d
		}
		var details []string
		m.eventually("what both agents report", func() error {
			unit, root := document("http://127.0.0.1:8080", "/api/v1/metrics/current"), document(free, "/api/v1/metrics/current")
			if details = differences("", shape(unit), shape(root)); len(details) > 0 {
				return fmt.Errorf("they differ: %q", details)
			}
			return nil
		})
		for _, agent := range []string{"http://127.0.0.1:8080", free} {
			m.eventually("an event of the kill, by "+agent, func() error {
				if said := m.sh("wget -q -O - '" + agent + "/api/v1/events?start=-10m'"); !strings.Contains(said, `"oom_kill"`) {
					return fmt.Errorf("%s", said)
				}
				return nil
			})
			// Another user's, which wrote.
			for _, p := range document(agent, "/api/v1/metrics/processes?top=200&q=sleep")["processes"].([]any) {
				if p := p.(map[string]any); p["user"] == "guest" && (p["read_bytes_per_sec"] == nil || p["write_bytes_per_sec"] == nil) {
					t.Errorf("%s does not know the I/O of %v", agent, p)
				}
			}
		}
		// Who looks into what is mounted on demand mounts it.
		if said, _ := m.try("systemctl is-active srv-automatic.automount srv-automatic.mount"); said != "active\ninactive\n" {
			t.Errorf("what is mounted on demand is %q", said)
		}
		if said := document("http://127.0.0.1:8080", "/api/v1/health")["status"]; said != "ok" {
			t.Errorf("the unit's agent is %v: %v", said, m.unhealthy())
		}
	})
}

// shape replaces what differs from second to second by whether it is known: numbers of a rate by
// "known", all else stays.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			switch key {
			case "processes", "timestamp", "tick", "connections", "limits": // Of their moment; of the agent itself.
			case "total", "count", "mountpoint", "device", "name", "type", "inodes", "physical", "counted":
				out[key] = exact(value)
			default:
				out[key] = shape(value)
			}
		}
		return out
	case []any:
		out := map[string]any{}
		for i, value := range v {
			key := fmt.Sprint(i)
			if m, ok := value.(map[string]any); ok {
				for _, name := range []string{"mountpoint", "name", "id", "state"} {
					if n, ok := m[name].(string); ok {
						key = n
						break
					}
				}
			}
			out[key] = shape(value)
		}
		return out
	case float64:
		return "known"
	}
	return v
}

func exact(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		return shape(v)
	}
	return v
}

// differences lists where two shapes differ.
func differences(path string, unit, root any) []string {
	a, ok1 := unit.(map[string]any)
	b, ok2 := root.(map[string]any)
	if !ok1 || !ok2 {
		if fmt.Sprint(unit) != fmt.Sprint(root) {
			return []string{fmt.Sprintf("%s: %v by the unit, %v by root", path, unit, root)}
		}
		return nil
	}
	var all []string
	for key := range a {
		all = append(all, differences(path+"/"+key, a[key], b[key])...)
	}
	for key := range b {
		if _, there := a[key]; !there {
			all = append(all, path+"/"+key+": by root only")
		}
	}
	slices.Sort(all)
	return all
}
