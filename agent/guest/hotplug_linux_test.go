package guest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestGuestHotPlug adds processors and memory to a guest of two NUMA nodes that runs, and takes
// processors away.
func TestGuestHotPlug(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		// Kernel 6.12 takes no processor that QEMU adds later; there the third is there, and off.
		added := kernel == "6.1"
		sockets := "3,sockets=3,cores=1,threads=1"
		if added {
			sockets = "2,maxcpus=3,sockets=3,cores=1,threads=1"
		}
		m := boot(t, kernel, hardware{
			processors: sockets, parameters: "maxcpus=2", memory: -1,
			devices: []string{
				"-m", "512M,slots=2,maxmem=2G",
				"-object", "memory-backend-ram,id=node0,size=256M", "-object", "memory-backend-ram,id=node1,size=256M",
				"-numa", "node,nodeid=0,memdev=node0", "-numa", "node,nodeid=1,memdev=node1",
				"-numa", "cpu,node-id=0,socket-id=0", "-numa", "cpu,node-id=1,socket-id=1", "-numa", "cpu,node-id=1,socket-id=2",
			},
		})
		if nodes := m.sh("ls -d /sys/devices/system/node/node*"); len(nodes) < 20 {
			t.Fatalf("the guest has the nodes %s", nodes)
		}
		m.startAgent()
		processors := func(what string, want ...string) {
			t.Helper()
			m.eventually(what, func() error {
				c := m.current()
				var cores []string
				for _, core := range c.CPU.Cores {
					cores = append(cores, core.ID)
				}
				if fmt.Sprint(cores) != fmt.Sprint(want) || c.CPU.Count != len(want) {
					return fmt.Errorf("%d processors, %v, want %v", c.CPU.Count, cores, want)
				}
				if c.CPU.Usage == nil || *c.CPU.Usage < 0 || *c.CPU.Usage > 100 {
					return fmt.Errorf("a usage of %s %%", show(c.CPU.Usage))
				}
				return nil
			})
		}
		memory := func() {
			t.Helper()
			m.settles("system_memory_limit_bytes", 1024*m.number("awk '/^MemTotal/ {print $2}' /proc/meminfo"), 0)
		}
		processors("at first", "cpu0", "cpu1")
		memory()

		if added {
			m.monitor.do("device_add", map[string]any{"driver": "qemu64-x86_64-cpu", "id": "third", "socket-id": 2, "core-id": 0, "thread-id": 0})
		}
		m.eventually("the third processor", func() error {
			if said, code := m.try("[ -d /sys/devices/system/cpu/cpu2 ]"); code != 0 {
				return fmt.Errorf("it does not come: %s", said)
			}
			return nil
		})
		m.sh("echo 1 >/sys/devices/system/cpu/cpu2/online")
		processors("one more", "cpu0", "cpu1", "cpu2")
		// One of three is busy.
		m.sh("taskset 4 timeout 10 yes >/dev/null & sleep 12")
		// An emulated processor does not always run when the guest believes that it does.
		if most := m.value(`max_over_time(sysotel_cpu_core_usage_ratio{cpu="cpu2"}[15s])`); most < 0.5 || most > 1 {
			t.Errorf("a busy processor was used by %v", most)
		}
		m.sh("echo 0 >/sys/devices/system/cpu/cpu1/online")
		processors("one taken out of the middle", "cpu0", "cpu2")
		m.sh("sleep 5; echo 1 >/sys/devices/system/cpu/cpu1/online")
		processors("and put back", "cpu0", "cpu1", "cpu2")
		m.sh("sleep 3")
		// Its idle time stood still, or began anew: that is no work.
		if most := m.value(`max_over_time(sysotel_cpu_core_usage_ratio{cpu="cpu1"}[20s])`); most > 0.9 {
			t.Errorf("a processor that came back was used by %v", most)
		}

		m.sh("echo online >/sys/devices/system/memory/auto_online_blocks")
		before := m.number("awk '/^MemTotal/ {print $2}' /proc/meminfo")
		m.monitor.do("object-add", map[string]any{"qom-type": "memory-backend-ram", "id": "more", "size": 256 << 20})
		m.monitor.do("device_add", map[string]any{"driver": "pc-dimm", "id": "dimm", "memdev": "more", "node": 1})
		m.eventually("more memory", func() error {
			if now := m.number("awk '/^MemTotal/ {print $2}' /proc/meminfo"); now < before+200<<10 {
				return fmt.Errorf("%v kB, there were %v", now, before)
			}
			return nil
		})
		memory()
		m.wantHealthy()
	})
}

// TestGuestSuspend lets a guest sleep: the time asleep is no gap of the agent's making, and no rate
// is of it.
func TestGuestSuspend(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		m := boot(t, kernel, hardware{})
		m.startAgent()
		m.sh("sleep 5; (sleep 1; echo mem >/sys/power/state) & :")
		state := func() string { return string(m.monitor.do("query-status", nil)) }
		m.wait("the guest sleeps", func() bool { return strings.Contains(state(), "suspended") })
		pause(t, 20*time.Second)
		m.monitor.do("system_wakeup", nil)
		m.wait("the guest wakes", func() bool { return strings.Contains(state(), "running") })
		pause(t, 5*time.Second) // Until then its serial port loses what comes.
		m.eventually("an event of it", func() error {
			if found := m.events("suspend"); len(found) != 1 {
				return fmt.Errorf("%q", found)
			}
			return nil
		})
		m.sh("sleep 5")
		m.settles("system_uptime_seconds", m.number("cut -d' ' -f1 /proc/uptime"), 0.1)
		if most := m.value("max_over_time(sysotel_cpu_usage_ratio[2m])"); most > 1 {
			t.Errorf("the CPU was used by %v", most)
		}
		// The clock that a guest wakes with is that of its hardware.
		if behind := m.number("date +%s") - float64(m.read().Unix()); behind < -1 || behind > 5 {
			t.Errorf("the newest reading is %v s old", behind)
		}
		if n := m.value(`sum(increase(sysotel_agent_gaps_total{cause!~"suspend|overload|timeout"}[5m]))`); n > 0 {
			t.Errorf("%v ticks were missed for other reasons", n)
		}
		m.wantHealthy()
	})
}
