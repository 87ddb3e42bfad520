package guest

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// sends runs a script that sends over some interfaces, and holds what the agent says of each
// against the kernel's own count since, in bytes. The machine's total must be what the
// carriers sent, each byte once.
func (m *machine) sends(script string, least float64, carriers ...string) {
	m.t.Helper()
	rate := func(device string) float64 {
		return m.integral(`sysotel_network_io_rate_bytes_per_second{device="` + device + `",direction="transmit"}`)
	}
	rates := func() float64 {
		sum := -rate("")
		for _, c := range carriers {
			sum += rate(c)
		}
		return sum
	}
	kernel := func() map[string]float64 {
		counts := map[string]float64{}
		for line := range strings.Lines(m.sh("cd /sys/class/net; for i in *; do [ ! -d $i ] || echo $i $(cat $i/statistics/tx_bytes); done")) {
			var name string
			var n float64
			if _, err := fmt.Sscan(line, &name, &n); err != nil {
				m.t.Fatal(err)
			}
			counts[name] = n
		}
		return counts
	}
	sent := func() float64 {
		sum, now := 0.0, kernel()
		for _, c := range carriers {
			sum += now[c]
		}
		return sum
	}
	before, apart, total := sent(), rates(), rate("")
	m.sh(script + "\nsleep 3")
	moved := sent() - before
	if moved < least {
		m.t.Fatalf("the carriers %v sent %v bytes only after %s", carriers, moved, script)
	}
	const slack = 64 << 10 // What the interfaces say of themselves meanwhile.
	m.eventually(script, func() error {
		truth := kernel()
		for key, now := range m.query(`system_network_io_bytes_total{direction="transmit"}`) {
			device := strings.TrimSpace(strings.Replace(key, "transmit", "", 1))
			if math.Abs(now-truth[device]) > slack {
				return fmt.Errorf("%s sent %v bytes, want %v", device, now, truth[device])
			}
		}
		if more := rates() - apart; math.Abs(more) > slack {
			return fmt.Errorf("the machine's rate adds up to %.0f bytes less than those of %v", more, carriers)
		}
		// Readings are late or missing now and then, and their rates are not: what these
		// add up to is rough.
		if said := rate("") - total; said < moved/3 || said > moved*3 {
			return fmt.Errorf("the machine's rate adds up to %.0f bytes, want %.0f", said, moved)
		}
		return nil
	})
}

// nic returns the arguments of QEMU for a network card on a wire that all share.
func nic(n int) []string {
	return []string{"-netdev", fmt.Sprintf("hubport,id=h%d,hubid=0", n), "-device", fmt.Sprintf("virtio-net-pci,netdev=h%d,mac=52:54:00:00:00:0%d,romfile=", n, n)}
}

// TestGuestInterfaces sends known amounts over cards and over what stands on them: each
// byte counts once in the machine's total.
func TestGuestInterfaces(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		m := boot(t, kernel, hardware{
			devices: append(append(nic(0), nic(1)...), nic(2)...),
			modules: []string{"virtio_pci", "virtio_net", "bonding", "8021q", "bridge", "veth", "dummy", "wireguard", "macvlan", "sch_netem"},
			tools:   []string{"ip", "tc", "wg"},
		})
		// The third card is another machine's: it stands in a namespace of its own.
		m.sh(`for i in virtio_pci virtio_net 8021q bridge veth wireguard macvlan sch_netem; do modprobe $i; done
			modprobe bonding max_bonds=0; modprobe dummy numdummies=0; sleep 2; mkdir -p /var/run/netns
			ip netns add peer; ip link set eth2 netns peer
			ip netns exec peer sh -c '
				ip link set lo up; ip addr add 10.0.0.9/24 dev eth2; ip link set eth2 up
				ip link add link eth2 name eth2.5 type vlan id 5; ip addr add 10.0.5.9/24 dev eth2.5; ip link set eth2.5 up'
			# The end of its input would end the connection.
			tail -f /dev/null | ip netns exec peer sh -c 'while :; do nc -l -p 1000; done' >/dev/null 2>&1 &
			ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; ip link set eth1 up; sleep 2`)
		push := func(to string, mib int) string {
			return fmt.Sprintf("dd if=/dev/zero bs=1M count=%d 2>/dev/null | timeout 60 nc %s 1000", mib, to)
		}
		m.sh("ping -c 1 -w 10 10.0.0.9")
		m.startAgent()
		m.sends(push("10.0.0.9", 4), 4<<20, "eth0")
		// Nothing leaves the machine.
		m.sh("ip link add dummy0 type dummy; ip addr add 10.9.0.1/24 dev dummy0; ip link set dummy0 up; ip route add 10.9.1.0/24 dev dummy0")
		m.sends("ping -c 20 -i 0.1 -s 9000 10.9.1.1 >/dev/null & ping -c 3 -s 1000 10.0.0.9 >/dev/null", 3000, "eth0")

		// Two cards as one, and a VLAN on them.
		m.sh(`ip addr flush dev eth0; ip link set eth0 down; ip link set eth1 down
			ip link add bond0 type bond mode active-backup miimon 100
			ip link set eth0 master bond0; ip link set eth1 master bond0; ip link set bond0 up
			ip addr add 10.0.0.1/24 dev bond0
			ip link add link bond0 name bond0.5 type vlan id 5; ip addr add 10.0.5.1/24 dev bond0.5; ip link set bond0.5 up
			sleep 2; ping -c 1 -w 10 10.0.0.9; ping -c 1 -w 10 10.0.5.9`)
		m.sends(push("10.0.0.9", 4), 4<<20, "eth0", "eth1")
		m.sends(push("10.0.5.9", 4), 4<<20, "eth0", "eth1")
		m.sh("tc qdisc add dev eth0 root netem delay 20ms; ip link set eth0 down; sleep 1") // The other card takes over.
		m.sends(push("10.0.5.9", 4), 4<<20, "eth0", "eth1")

		// A bridge on the bond, with a container that sends through it.
		m.sh(`ip addr flush dev bond0; ip link add br0 type bridge; ip link set bond0 master br0; ip link set br0 up; ip addr add 10.0.0.1/24 dev br0
			ip netns add box; ip link add veth0 type veth peer name in0 netns box; ip link set veth0 master br0 up
			ip netns exec box sh -c 'ip addr add 10.0.0.2/24 dev in0; ip link set in0 up'
			sleep 2; ip netns exec box ping -c 1 -w 10 10.0.0.9`)
		m.sends("ip netns exec box sh -c '"+push("10.0.0.9", 4)+"'", 4<<20, "eth0", "eth1")

		// A tunnel over all of it.
		m.sh(`cd /run; wg genkey >a; wg genkey >b; wg pubkey <a >a.pub; wg pubkey <b >b.pub
			ip link add wg0 type wireguard; wg set wg0 private-key a listen-port 51820 peer $(cat b.pub) allowed-ips 10.7.0.9/32 endpoint 10.0.0.9:51820
			ip addr add 10.7.0.1/24 dev wg0; ip link set wg0 up
			ip netns exec peer sh -c 'ip link add wg0 type wireguard; wg set wg0 private-key b listen-port 51820 peer '$(cat a.pub)' allowed-ips 10.7.0.1/32
				ip addr add 10.7.0.9/24 dev wg0; ip link set wg0 up'
			ping -c 1 -w 10 10.7.0.9`)
		m.sends(push("10.7.0.9", 4), 4<<20, "eth0", "eth1")

		// A card that gets another name.
		m.sh("ip link set eth0 down; ip link set eth0 name uplink; ip link set uplink up; sleep 3")
		m.sends(push("10.0.0.9", 4), 4<<20, "uplink", "eth1")
		m.wantHealthy()
	})
}
