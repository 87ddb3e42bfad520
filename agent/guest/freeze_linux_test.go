package guest

import (
	"fmt"
	"testing"
)

// TestGuestFreeze freezes file systems, as backups of virtual machines do: one beside the agent's
// costs nothing, and after its own was frozen the agent goes on with all that it had read.
func TestGuestFreeze(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		h := mountHardware(t)
		h.tools = append(h.tools, "fsfreeze")
		m := boot(t, kernel, h)
		m.sh(`for i in virtio_pci virtio_blk ext4; do modprobe $i; done; sleep 1
			mkfs.ext4 -q /dev/vda; mkfs.ext4 -q /dev/vdb; mkdir -p /data /srv; mount /dev/vda /data; mount /dev/vdb /srv`)
		m.startAgent("--data-dir /data/sysotel")
		disks := map[string]string{"/data": "/dev/vda", "/srv": "/dev/vdb"}
		for _, f := range m.current().Disk.Filesystems {
			if f.Mountpoint == "/" {
				disks["/"] = f.Device
			}
		}
		m.mounted("two mounts", disks)
		stored := func() float64 { return m.value("count_over_time(system_memory_limit_bytes[1h])") }
		goesOn := func(what string) {
			t.Helper()
			ticks, held := m.ticks(), stored()
			m.eventuallyIn(1, what, func() error {
				if now, has := m.ticks(), stored(); now < ticks+5 || has < held+3 {
					return fmt.Errorf("tick %v and %v readings in the history, there were %v and %v", now, has, ticks, held)
				}
				return nil
			})
		}

		m.sh("fsfreeze --freeze /srv")
		goesOn("readings while another file system is frozen")
		m.mounted("two mounts, one of them frozen", disks)
		m.wantHealthy()
		m.sh("fsfreeze --unfreeze /srv")

		// What the history had is there afterwards, once, and the time without readings is told.
		pid, held := m.sh("cat /run/sysotel.pid"), stored()
		m.sh("fsfreeze --freeze /data; sleep 20; fsfreeze --unfreeze /data; sleep 2")
		goesOn("readings after the agent's own file system was frozen")
		if now := stored(); now < held {
			t.Errorf("the history has %v readings, and had %v before", now, held)
		}
		check(t, m, nil)
		m.sh("kill -0 " + pid)
	})
}
