package guest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// The short form must not cost make test more than five minutes, also where others use the
// processors. slowBoot is how long a guest may take to start; one that takes longer proves nothing
// in time. slowTick, in seconds, is the agent's: what is counted is the same at every tick, and a
// reading has that long.
const (
	slowBoot = 90 * time.Second
	slowTick = 5
)

// TestGuestShort is the form of make test: one kernel, and only what is counted or is a state.
func TestGuestShort(t *testing.T) {
	// What has to be fetched and built once is not the guest's time.
	needPrograms(t)
	kernel(t, "6.1")
	unpacked(t)
	agentBinary(t)
	began := time.Now()
	m := boot(t, "6.1", hardware{
		processors: "2", devices: slices.Concat(
			drive(t, "data", 128), []string{"-device", "virtio-blk-pci,drive=data"},
			drive(t, "more", 192), []string{"-device", "virtio-blk-pci,drive=more"}, nic(0), nic(1)),
		modules: []string{"virtio_pci", "virtio_blk", "virtio_net", "ext4", "loop", "dm_mod", "bridge", "dummy"},
		tools:   []string{"mkfs.ext4", "dmsetup", "ip"},
	})
	started := time.Since(began).Round(time.Second)
	if started > slowBoot && !all() {
		t.Skipf("not tested: a guest took %s to start, this machine is too busy to emulate one in time; make guest does", started)
	}
	m.tick = slowTick
	m.sh(`for i in virtio_pci virtio_blk virtio_net ext4 loop dm_mod bridge; do modprobe $i; done; modprobe dummy numdummies=0; sleep 1
		mkfs.ext4 -q /dev/vda; mkfs.ext4 -q -E lazy_itable_init=0,nodiscard /dev/vdb; mkdir -p /srv /b; mount /dev/vda /srv; mkdir /srv/data; mount /dev/vdb /srv/data
		# The agent's own group has a limit; the machine has none.
		echo '+cpu +memory +io' >/sys/fs/cgroup/cgroup.subtree_control
		mkdir -p /sys/fs/cgroup/system.slice/agent
		echo '+cpu +memory' >/sys/fs/cgroup/system.slice/cgroup.subtree_control
		echo 300M >/sys/fs/cgroup/system.slice/agent/memory.max
		echo '150000 100000' >/sys/fs/cgroup/system.slice/cpu.max`)
	m.startAgent()
	m.sh("cat /run/sysotel.pid >/sys/fs/cgroup/system.slice/agent/cgroup.procs")

	m.settles("system_memory_limit_bytes", 1024*m.number("awk '/^MemTotal/ {print $2}' /proc/meminfo"), 0)
	m.settles("system_cpu_logical_count", 2, 0)
	m.settles("sysotel_boot_time_seconds", m.number("awk '/^btime/ {print $2}' /proc/stat"), 1e-9)
	m.settles("sysotel_cgroup_memory_limit_bytes", 300<<20, 0)
	m.settles("sysotel_cgroup_cpu_limit", 1.5, 0)
	m.settles("sum(system_processes_count)", m.number("ls -d /proc/[0-9]* | wc -l"), 0.1)

	// What is mounted over others hides them.
	disks := map[string]string{"/srv": "/dev/vda", "/srv/data": "/dev/vdb"}
	for _, f := range m.current().Disk.Filesystems {
		if f.Mountpoint == "/" {
			disks["/"] = f.Device
		}
	}
	m.mounted("two mounts", disks)
	m.sh("umount /srv/data; mount /dev/vdb /srv")
	delete(disks, "/srv/data")
	disks["/srv"] = "/dev/vdb"
	m.mounted("one over the other", disks)
	m.sh("umount /srv; umount /srv; mount /dev/vdb /b; dd if=/dev/zero of=/b/image bs=1M count=30 2>/dev/null; losetup /dev/loop0 /b/image; echo 0 65536 linear /dev/vda 0 | dmsetup --noudevsync --noudevrules create part; sync; sleep 1")

	// Each byte is counted at the disk and at what stands on it.
	m.counts("write", fill("vda", 20), map[string]float64{"vda": 20})
	m.counts("read", "dd if=/dev/vda of=/dev/null bs=1M count=10 iflag=direct 2>/dev/null", map[string]float64{"vda": 10})
	m.counts("write", fill("dm-0", 20), map[string]float64{"dm-0": 20, "vda": 20})
	m.counts("write", fill("loop0", 20)+"; sync", map[string]float64{"vdb": 20})

	// Interfaces count what the kernel counts, and only a card's is the machine's.
	m.sh(`ip link add br0 type bridge; ip link set eth0 master br0; ip link set eth0 up; ip link set eth1 up; ip link set br0 up; ip addr add 10.0.0.1/24 dev br0
		ip link add dummy0 type dummy; ip addr add 10.9.0.1/24 dev dummy0; ip link set dummy0 up; ip route add 10.9.1.0/24 dev dummy0
		ping -c 20 -i 0.1 -s 9000 10.9.1.1 >/dev/null || :; ping -c 2 -w 3 -s 1000 10.0.0.9 >/dev/null || :`)
	m.eventually("bytes by interface", func() error {
		said := m.query(`system_network_io_bytes_total{direction="transmit"}`)
		for _, device := range []string{"br0", "dummy0", "eth0"} {
			truth := m.number("cat /sys/class/net/" + device + "/statistics/tx_bytes")
			if now, there := said[strings.Join([]string{device, "transmit"}, " ")]; !there || math.Abs(now-truth) > 4<<10 {
				return fmt.Errorf("%s sent %v bytes, want %v: %v", device, now, truth, said)
			}
		}
		for _, i := range m.current().Network.Interfaces {
			if card := strings.HasPrefix(i.Name, "eth"); i.Counted != card {
				return fmt.Errorf("counted: %+v", i)
			}
		}
		return nil
	})
	if log := m.sh("cat /run/sysotel.log"); strings.Contains(log, "panic") {
		t.Error(log)
	}
	t.Logf("%s, of which the start took %s", time.Since(began).Round(time.Second), started)
}

// counts runs a script and holds what the disks that are named count since against the truth, in
// MiB.
func (m *machine) counts(direction, script string, devices map[string]float64) {
	m.t.Helper()
	read := func() map[string]float64 {
		counts := map[string]float64{}
		for key, n := range m.query(`system_disk_io_bytes_total{direction="` + direction + `"}`) {
			counts[strings.TrimSpace(strings.Replace(key, direction, "", 1))] = n / (1 << 20)
		}
		return counts
	}
	// What was read before the last change is not the count before the script.
	kernel := func(device string) float64 {
		field := map[string]string{"read": "3", "write": "7"}[direction]
		return m.number("awk '{print $" + field + " / 2048}' /sys/block/" + device + "/stat")
	}
	before := map[string]float64{}
	for device := range devices {
		before[device] = kernel(device)
	}
	m.sh(script)
	m.eventually(script, func() error {
		now := read()
		for device, want := range devices {
			if said, there := now[device]; !there || math.Abs(said-kernel(device)) > 0.2 {
				return fmt.Errorf("%s counts %v MiB, the kernel %v: %v", device, said, kernel(device), now)
			}
			if moved := now[device] - before[device]; moved < want-0.2 || moved > want+2 {
				return fmt.Errorf("%s counts %v MiB more, want %v", device, moved, want)
			}
		}
		return nil
	})
}
