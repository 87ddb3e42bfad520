package guest

import (
	"fmt"
	"testing"
)

// TestGuestNFS mounts a file system over the network whose server stops to answer and comes
// back: it alone is unknown meanwhile, and all else goes on.
func TestGuestNFS(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		h := mountHardware(t)
		h.modules = append(h.modules, "nfs", "nfsv4", "nfsd", "lockd", "sunrpc", "rpcsec_gss_krb5")
		h.tools = append(h.tools, "rpc.nfsd", "rpc.mountd", "exportfs", "mount.nfs")
		m := boot(t, kernel, h)
		m.sh(`for i in virtio_pci virtio_blk ext4 nfs nfsv4 nfsd; do modprobe $i; done; sleep 1
			mkfs.ext4 -q /dev/vda; mkdir -p /srv /far /var/lib/nfs/sm /var/lib/nfs/v4recovery /run/rpcbind; touch /var/lib/nfs/etab /var/lib/nfs/rmtab; ln -s mount.nfs /sbin/mount.nfs4
			mount /dev/vda /srv; mount -t nfsd nfsd /proc/fs/nfsd
			printf 'nfs 2049/tcp\nnfs 2049/udp\n' >/etc/services; printf 'tcp 6 TCP\nudp 17 UDP\n' >/etc/protocols; echo '127.0.0.1 localhost' >/etc/hosts
			echo '/srv 127.0.0.1(rw,no_root_squash,insecure,fsid=0,no_subtree_check)' >/etc/exports
			exportfs -ra; rpc.mountd -N 2 -N 3; rpc.nfsd -N 3 -V 4 --no-udp 1; sleep 1
			mount.nfs 127.0.0.1:/ /far -o vers=4.2,hard,timeo=50,retrans=1`)
		m.startAgent()
		total := func() string { return show(m.current().Disk.Total) }
		far := func(stuck bool) error {
			for _, f := range m.current().Disk.Filesystems {
				if f.Mountpoint == "/far" {
					if f.Stuck != stuck {
						return fmt.Errorf("it is reported as %+v", f)
					}
					return nil
				}
			}
			return fmt.Errorf("it is not reported")
		}
		m.eventually("the far file system", func() error { return far(false) })
		before := total()

		m.sh("echo 0 >/proc/fs/nfsd/threads")
		m.eventually("a server that does not answer", func() error { return far(true) })
		ticks := m.value("sysotel_agent_ticks_total")
		m.sh("sleep 15")
		if after := m.value("sysotel_agent_ticks_total"); after < ticks+10 {
			t.Errorf("%v ticks in 15 s", after-ticks)
		}
		if said := total(); said != before {
			t.Errorf("the total is %s, want that of the local disks, %s", said, before)
		}
		if usage := m.current().CPU.Usage; usage == nil {
			t.Error("the CPU's usage is unknown")
		}
		if said := m.unhealthy(); len(said) == 0 {
			t.Error("health does not tell")
		}
		m.sh("rpc.nfsd -N 3 -V 4 --no-udp 1")
		m.eventually("a server that answers again", func() error { return far(false) })
		m.wantHealthy()
	})
}
