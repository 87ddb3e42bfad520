package guest

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestGuestCounts holds the plain numbers of a machine against what it is made of, the agent
// below a limit of its own control group.
func TestGuestCounts(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		m := boot(t, kernel, hardware{
			processors: "2", devices: append(drive(t, "data", 128), "-device", "virtio-blk-pci,drive=data"),
			modules: []string{"virtio_pci", "virtio_blk", "ext4"}, tools: []string{"mkfs.ext4"}, helper: true,
		})
		m.sh("for i in virtio_pci virtio_blk ext4; do modprobe $i; done; sleep 1; mkfs.ext4 -q /dev/vda; mount /dev/vda /mnt")
		// The agent's own group has a limit; the machine has none.
		m.sh(`echo '+cpu +memory +io' >/sys/fs/cgroup/cgroup.subtree_control
			mkdir -p /sys/fs/cgroup/system.slice/agent
			echo '+cpu +memory' >/sys/fs/cgroup/system.slice/cgroup.subtree_control
			echo 300M >/sys/fs/cgroup/system.slice/agent/memory.max
			echo '150000 100000' >/sys/fs/cgroup/system.slice/cpu.max`)
		m.startAgent()
		m.sh("cat /run/sysotel.pid >/sys/fs/cgroup/system.slice/agent/cgroup.procs")

		m.settles("system_memory_limit_bytes", 1024*m.number("awk '/^MemTotal/ {print $2}' /proc/meminfo"), 0)
		m.settles("system_cpu_logical_count", 2, 0)
		m.settles("sysotel_boot_time_seconds", m.number("awk '/^btime/ {print $2}' /proc/stat"), 0)
		m.settles("system_uptime_seconds", m.number("cut -d' ' -f1 /proc/uptime"), 0.2)
		m.settles("sum(system_processes_count)", m.number("ls -d /proc/[0-9]* | wc -l"), 0.03)
		m.settles("sysotel_cgroup_memory_limit_bytes", 300<<20, 0)
		m.settles("sysotel_cgroup_cpu_limit", 1.5, 0)

		// Work of a known amount: processor time of a program that then stands still.
		m.sh("timeout -s STOP 6 yes >/dev/null & sleep 7")
		grind := m.number("awk '{print ($14 + $15) / 100}' /proc/$(pidof yes)/stat")
		m.settles(`sum(process_cpu_time_seconds_total{process_executable_name="yes"})`, grind, 0.1)

		// A write is one program's, not also that of all who wait for it.
		written := func() float64 { return m.value(`sum(process_disk_io_bytes_total{direction="write"})`) / (1 << 20) }
		before := written()
		m.sh(`sh -c 'sh -c "dd if=/dev/zero of=/mnt/file bs=1M count=20 conv=fsync 2>/dev/null; sleep 4"; sleep 4'`)
		m.eventually("20 MiB written by a child's child", func() error {
			if said := written() - before; said < 19.5 || said > 24 {
				return fmt.Errorf("programs wrote %.1f MiB: %v", said, m.query(`process_disk_io_bytes_total{direction="write"} > 1e6`))
			}
			return nil
		})

		// A program whose first thread has ended is what its other threads are.
		m.sh(helperVariable + "=leader GOGC=off /helper >/dev/null 2>&1 & echo $! >/run/leader")
		m.eventually("a program without its first thread", func() error {
			if state := strings.TrimSpace(m.sh("sed 's/.*) //' /proc/$(cat /run/leader)/stat | cut -c1")); state != "Z" {
				return fmt.Errorf("its first thread is %s", state)
			}
			truth := m.number("cd /proc/$(cat /run/leader)/task; for t in *; do [ $t = $(cat /run/leader) ] || { awk '{print $2 * 4096}' $t/statm; break; }; done")
			var table struct {
				Processes []struct {
					Name, Status string
					Memory       float64 `json:"memory_rss"`
				}
			}
			if err := json.Unmarshal(m.get("/api/v1/metrics/processes?top=100&q=helper"), &table); err != nil {
				return err
			}
			for _, p := range table.Processes {
				if p.Name == "helper" && p.Status != "zombie" && truth >= helperMemory && math.Abs(p.Memory-truth) < 0.2*truth {
					return nil
				}
			}
			return fmt.Errorf("%+v, want one that lives with %.0f bytes", table.Processes, truth)
		})
		m.sh("kill -9 $(cat /run/leader)")

		busy := func() float64 {
			return m.number(`awk '/^cpu / {print ($2 + $3 + $4 + $7 + $8 + $9) / 100}' /proc/stat`)
		}
		m.eventually("the CPU time of all states", func() error {
			before := busy()
			said := m.value(`sum(system_cpu_time_seconds_total{state!~"idle|wait"})`)
			if after := busy(); said < before-3 || said > after+0.1 {
				return fmt.Errorf("%v s, /proc/stat had %v and then %v", said, before, after)
			}
			return nil
		})
		m.wantHealthy()
		if c := m.current(); c.CPU.Count != 2 || len(c.CPU.Cores) != 2 {
			t.Errorf("processors: %+v", c.CPU)
		}
		if log := m.sh("cat /run/sysotel.log"); strings.Contains(log, "panic") {
			t.Error(log)
		}
	})
}
