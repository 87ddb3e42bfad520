package instruments

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gopsutilnet "github.com/shirou/gopsutil/v3/net"
)

const netDevTitles = "Inter-|   Receive                                                |  Transmit\n" +
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"

func TestParseNetDev(t *testing.T) {
	want := interfaceCounters{receive: trafficCounters{1, 2, 3, 4}, transmit: trafficCounters{9, 10, 11, 12}}
	for _, c := range []struct {
		what, line, name string
		want             interfaceCounters
		wrong            string
	}{
		{what: "usual", line: "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", name: "eth0", want: want},
		{what: "a number glued to the colon", line: "  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", name: "eth0", want: want},
		{what: "a name as long as can be", line: "enp0s31f6abcdef: 1 2 3 4 5 6 7 8        9 10 11 12 13 14 15 16", name: "enp0s31f6abcdef", want: want},
		{what: "an alias", line: "eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", name: "eth0:1", want: want},
		{what: "a space in the name", line: " my if: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", name: "my if", want: want},
		{what: "titles", line: "Inter-|   Receive        |  Transmit"},
		{what: "more titles", line: " face |bytes    packets errs"},
		{what: "an empty line", line: ""},
		{what: "too few numbers", line: "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", wrong: "column 16"},
		{what: "a negative number", line: "eth0: 1 -2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", wrong: `"-2"`},
		{what: "no name", line: "  : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", wrong: "no name"},
		{what: "no colon", line: "eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", wrong: "no colon"},
	} {
		t.Run(c.what, func(t *testing.T) {
			name, got, err := parseNetDev([]byte(c.line))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("error is %v, want one with %q", err, c.wrong)
				}
				return
			}
			if err != nil || string(name) != c.name || got != c.want {
				t.Errorf("got %q %+v %v, want %q %+v", name, got, err, c.name, c.want)
			}
		})
	}
}

func FuzzParseNetDev(f *testing.F) {
	f.Add("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")
	f.Add("eth0:1:123 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")
	f.Add(" face |bytes    packets errs drop")
	f.Fuzz(func(t *testing.T, line string) {
		name, c, err := parseNetDev([]byte(line))
		if err != nil || name == nil {
			return
		}
		// What was read says what the line says.
		at := strings.LastIndexByte(line, ':')
		numbers := strings.FieldsFunc(line[at+1:], func(r rune) bool { return r == ' ' || r == '\t' })
		if strings.TrimLeft(line[:at], " ") != string(name) || len(numbers) < 16 {
			t.Fatalf("%q gave the name %q", line, name)
		}
		for i, got := range map[int]uint64{0: c.receive.bytes, 3: c.receive.dropped, 8: c.transmit.bytes, 11: c.transmit.dropped} {
			if want, err := strconv.ParseUint(numbers[i], 10, 64); err == nil && got != want {
				t.Errorf("%q: column %d is %d, want %d", line, i+1, got, want)
			}
		}
	})
}

// netDev makes /proc/1/net/dev of "name receive-bytes transmit-bytes"; packets are
// a hundredth, errors a tenth of that, drops twice the errors.
func netDev(lines ...string) map[string]string {
	var text strings.Builder
	text.WriteString(netDevTitles)
	for _, line := range lines {
		var name string
		var in, out uint64
		if _, err := fmt.Sscan(line, &name, &in, &out); err != nil {
			panic(err)
		}
		fmt.Fprintf(&text, "%6s: %d %d %d %d 0 0 0 0 %d %d %d %d 0 0 0 0\n", name,
			in, in/100, in/1000, in/500, out, out/100, out/1000, out/500)
	}
	return map[string]string{"proc/1/net/dev": text.String()}
}

func totals(receive, transmit float64) map[string]float64 {
	return map[string]float64{"sysotel.network.io.rate{receive,}": receive, "sysotel.network.io.rate{transmit,}": transmit}
}

func TestNetworkRates(t *testing.T) {
	b := newBench(t, map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth1/device/": ""})
	f := newNetwork(Defaults())
	b.write(netDev("lo 5000 5000", "eth0 10000 20000"))
	r := b.tick(f)
	wantPoints(t, r, map[string]float64{
		"system.network.io{eth0,receive}": 10000, "system.network.io{eth0,transmit}": 20000,
		"system.network.packets{eth0,receive}": 100, "system.network.packets{eth0,transmit}": 200,
		"system.network.errors{eth0,receive}": 10, "system.network.errors{eth0,transmit}": 20,
		"system.network.dropped{eth0,receive}": 20, "system.network.dropped{eth0,transmit}": 40,
		"system.network.io{lo,receive}":         5000,
		"sysotel.network.io.rate{receive,eth0}": unknown, "sysotel.network.errors.rate{receive,}": unknown,
	})
	wantPoints(t, r, totals(unknown, unknown))

	b.write(netDev("lo 9000 9000", "eth0 11000 24000"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{
		"sysotel.network.io.rate{receive,eth0}": 1000, "sysotel.network.io.rate{transmit,eth0}": 4000,
		"sysotel.network.packets.rate{receive,eth0}": 10, "sysotel.network.packets.rate{transmit,eth0}": 40,
		"sysotel.network.errors.rate{receive,eth0}": 1, "sysotel.network.errors.rate{transmit,eth0}": 4,
		"sysotel.network.dropped.rate{receive,eth0}": 2, "sysotel.network.dropped.rate{transmit,eth0}": 8,
		"sysotel.network.packets.rate{receive,}": 10, "sysotel.network.packets.rate{transmit,}": 40,
		"sysotel.network.errors.rate{receive,}": 1, "sysotel.network.errors.rate{transmit,}": 4,
		"sysotel.network.dropped.rate{receive,}": 2, "sysotel.network.dropped.rate{transmit,}": 8,
		// The loopback is reported but not in the total.
		"sysotel.network.io.rate{receive,lo}": 4000,
	})
	wantPoints(t, r, totals(1000, 4000))

	// A second interface appears.
	b.write(netDev("lo 9000 9000", "eth0 12000 24000", "eth1 77000 77000"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{"system.network.io{eth1,receive}": 77000, "sysotel.network.io.rate{receive,eth1}": unknown})
	wantPoints(t, r, totals(1000, 0))

	// It is reset: the total is not known either, since a total without it would
	// be too small.
	b.write(netDev("lo 9000 9000", "eth0 13000 24000", "eth1 1000 1000"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{
		"sysotel.network.io.rate{receive,eth0}": 1000,
		"sysotel.network.io.rate{receive,eth1}": unknown, "sysotel.network.packets.rate{transmit,eth1}": unknown,
	})
	wantPoints(t, r, totals(unknown, unknown))

	// It vanishes and comes again.
	b.write(netDev("lo 9000 9000", "eth0 14000 24000"))
	wantPoints(t, b.tick(f), totals(1000, 0))
	b.write(netDev("lo 9000 9000", "eth0 14000 24000", "eth1 90000 90000"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{"sysotel.network.io.rate{receive,eth1}": unknown})
	wantPoints(t, r, totals(0, 0))
}

func TestInterfaceKinds(t *testing.T) {
	b := newBench(t, map[string]string{
		"sys/class/net/lo/type":           "772\n",
		"sys/class/net/other-lo/type":     "772\n",
		"sys/class/net/eth0/device/":      "",
		"sys/class/net/eth0/type":         "1\n",
		"sys/class/net/slave0/device/":    "",
		"sys/class/net/slave0/master":     "-> ../bond0",
		"sys/class/net/bond0/uevent":      "DEVTYPE=bond\nINTERFACE=bond0\n",
		"sys/class/net/lan1/device/":      "",
		"sys/class/net/lan1/uevent":       "DEVTYPE=dsa\nINTERFACE=lan1\n",
		"sys/class/net/vf0/device/":       "",
		"sys/class/net/vf0/master":        "-> ../eth0",
		"sys/class/net/wlan0/device/":     "",
		"sys/class/net/wlan0/uevent":      "DEVTYPE=wlan\n",
		"sys/class/net/br0/bridge/":       "",
		"sys/class/net/vpn/tun_flags":     "0x1001\n",
		"sys/class/net/eth0.7/uevent":     "DEVTYPE=vlan\n",
		"sys/class/net/wg0/uevent":        "DEVTYPE=wireguard\n",
		"sys/class/net/veth12ab/uevent":   "INTERFACE=veth12ab\n",
		"sys/class/net/docker0/uevent":    "\n",
		"sys/class/net/container0/uevent": "INTERFACE=container0\n",
	})
	for name, want := range map[string]interfaceKind{
		"lo": interfaceLoopback, "other-lo": interfaceLoopback,
		"eth0": interfacePhysical, "wlan0": interfacePhysical,
		// Of a bond the slaves count and it does not; of a cloud's pair
		// it is the other way round, because the master is hardware too.
		"slave0": interfacePhysical, "bond0": interfaceVirtual, "vf0": interfaceInner,
		"lan1": interfaceInner, "br0": interfaceInner, "vpn": interfaceInner, "eth0.7": interfaceInner, "wg0": interfaceInner,
		"veth12ab": interfaceInner, "docker0": interfaceInner, "virbr0": interfaceInner, "tap3": interfaceInner,
		"container0": interfaceVirtual, "unseen0": interfaceVirtual,
	} {
		if got := b.host.interfaceKind(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestNetworkTotalCountsTheWayOutside(t *testing.T) {
	physical := map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth1/device/": ""}
	for _, c := range []struct {
		what             string
		sys              map[string]string
		include, exclude []string
		names            []string
		shown            []string
		want             float64
	}{
		{
			what: "hardware", sys: physical, names: []string{"lo", "eth0", "eth1", "docker0", "veth1", "bond0"},
			shown: []string{"lo", "eth0", "eth1", "docker0", "bond0"}, want: 200,
		},
		{
			what: "hardware that is not shown", sys: physical, exclude: []string{"eth*"}, names: []string{"lo", "eth0", "eth1"},
			shown: []string{"lo"}, want: 200,
		},
		{
			what: "only one that is asked for", sys: physical, include: []string{"device:lo"}, names: []string{"lo", "eth0", "eth1"},
			shown: []string{"lo"}, want: 200,
		},
		{
			what: "a container", names: []string{"lo", "eth0", "docker0", "veth1"},
			shown: []string{"lo", "eth0", "docker0"}, want: 100,
		},
		{what: "a container with a tunnel only", names: []string{"lo", "tun0"}, shown: []string{"lo", "tun0"}, want: 100},
		{what: "only a loopback", names: []string{"lo"}, shown: []string{"lo"}, want: unknown},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBench(t, c.sys)
			if c.include == nil && c.exclude == nil {
				c.exclude = Defaults().Collectors["network"].Exclude
			}
			f := newNetwork(with("network", c.include, c.exclude))
			step := func(bytes int) map[string]string {
				var lines []string
				for _, name := range c.names {
					lines = append(lines, fmt.Sprint(name, " ", bytes, " ", bytes))
				}
				return netDev(lines...)
			}
			b.write(step(1000))
			b.tick(f)
			b.write(step(1100))
			r := b.tick(f).(*Network)
			var shown []string
			counted := 0
			for _, i := range r.Interfaces {
				shown = append(shown, i.Name)
				if i.Counted {
					counted++
				}
			}
			if !slices.Equal(shown, c.shown) {
				t.Errorf("shown are %v, want %v", shown, c.shown)
			}
			if got := r.Total.BytesReceivedPerSecond; got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
				t.Errorf("total is %v, want %v", got, c.want)
			}
			if len(c.shown) == len(c.names) && float64(counted)*100 != c.want && !math.IsNaN(c.want) {
				t.Errorf("%d interfaces say that they count, the total is %v", counted, c.want)
			}
		})
	}
}

// How an interface is connected is looked up when its name appears and then
// once a minute.
func TestInterfaceIsLookedUpOnceAMinute(t *testing.T) {
	b := newBench(t, map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth0/speed": "100\n"})
	f := newNetwork(Defaults())
	b.write(netDev("eth0 1 1"))
	b.tick(f)
	b.write(map[string]string{"sys/class/net/eth0/speed": "1000\n"})
	for range 59 {
		if r := b.tick(f).(*Network); r.Interfaces[0].Speed != 100e6 {
			t.Fatalf("the speed is %v already", r.Interfaces[0].Speed)
		}
	}
	if r := b.tick(f).(*Network); r.Interfaces[0].Speed != 1000e6 {
		t.Errorf("after a minute the speed is %v, want 1e9", r.Interfaces[0].Speed)
	}
	b.write(map[string]string{"sys/class/net/eth0/speed": "-1\n"})
	b.now = b.now.Add(time.Minute)
	if r := b.tick(f).(*Network); !math.IsNaN(r.Interfaces[0].Speed) {
		t.Errorf("the speed is %v, want unknown", r.Interfaces[0].Speed)
	}
}

// Hardware that hands over in one piece what it counted makes rates no link can
// carry.
func TestImplausibleRates(t *testing.T) {
	b := newBench(t, map[string]string{
		"sys/class/net/eth0/device/": "", "sys/class/net/eth0/speed": "8\n", // 1,000,000 bytes/s
		"sys/class/net/tun0/tun_flags": "1", "sys/class/net/tun0/speed": "8\n",
	})
	f := newNetwork(Defaults())
	bytes := uint64(0)
	step := func(more uint64) Reading {
		bytes += more
		b.write(netDev(fmt.Sprint("eth0 ", bytes, " 0"), fmt.Sprint("tun0 ", bytes, " 0")))
		return b.tick(f)
	}
	step(0)
	wantPoints(t, step(1_190_000), map[string]float64{
		"sysotel.network.io.rate{receive,eth0}": 1_190_000, "sysotel.network.implausible{eth0}": 0,
	})
	r := step(1_210_000)
	wantPoints(t, r, map[string]float64{
		"sysotel.network.io.rate{receive,eth0}": unknown, "sysotel.network.packets.rate{receive,eth0}": unknown,
		"sysotel.network.implausible{eth0}": 1, "system.network.io{eth0,receive}": 2_400_000,
		// The speed of a tunnel is made up and says nothing.
		"sysotel.network.io.rate{receive,tun0}": 1_210_000, "sysotel.network.implausible{tun0}": unknown,
	})
	wantPoints(t, r, totals(unknown, unknown))
	wantPoints(t, step(1000), map[string]float64{"sysotel.network.io.rate{receive,eth0}": 1000, "sysotel.network.implausible{eth0}": 1})

	// What stays above the speed is real; the speed is wrong.
	for i := range 5 {
		want, count := unknown, float64(2+i)
		if i >= burst {
			want, count = 5_000_000, 1+burst
		}
		wantPoints(t, step(5_000_000), map[string]float64{"sysotel.network.io.rate{receive,eth0}": want, "sysotel.network.implausible{eth0}": count})
	}

	// A link that became faster is asked at once, not after a minute.
	step(0)
	b.write(map[string]string{"sys/class/net/eth0/speed": "80\n"})
	wantPoints(t, step(9_000_000), map[string]float64{"sysotel.network.io.rate{receive,eth0}": 9_000_000, "sysotel.network.implausible{eth0}": 1 + burst})
}

// In a container /proc/net is the container's network; only the first process's
// is the machine's.
func TestNetworkOfTheFirstProcess(t *testing.T) {
	own := netDev("wrong0 1 1")["proc/1/net/dev"]
	b := newBench(t, map[string]string{"proc/net/dev": own})
	b.write(netDev("eth0 1 1"))
	if r := b.tick(newNetwork(Defaults())).(*Network); r.Interfaces[0].Name != "eth0" {
		t.Errorf("the interface is %q, want eth0", r.Interfaces[0].Name)
	}
	b.remove("proc/1")
	if r := b.tick(newNetwork(Defaults())).(*Network); r.Interfaces[0].Name != "wrong0" {
		t.Errorf("the interface is %q, want that of /proc/net", r.Interfaces[0].Name)
	}
	b.host.ownNetwork = false
	if r, err := b.try(newNetwork(Defaults())); err == nil {
		t.Errorf("in another namespace the container's network was read: %+v", r)
	}
}

// A counter that goes back alone makes all of the interface's numbers unknown:
// the others may have been reset too and grown past what they were.
func TestInterfaceResetOfOneCounter(t *testing.T) {
	line := func(n [8]int) map[string]string {
		return map[string]string{"proc/1/net/dev": fmt.Sprintf("%seth0: %d %d %d %d 0 0 0 0 %d %d %d %d 0 0 0 0\n", netDevTitles,
			n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7])}
	}
	b := newBench(t, map[string]string{"sys/class/net/eth0/device/": ""})
	for back := range 8 {
		f := newNetwork(Defaults())
		n := [8]int{10, 10, 10, 10, 10, 10, 10, 10}
		b.write(line(n))
		b.tick(f)
		for i := range n {
			n[i]++
		}
		n[back] = 9
		b.write(line(n))
		for name := range reported(b.tick(f)) {
			if strings.Contains(name, ".rate{") {
				t.Errorf("counter %d went back, and there is %s", back, name)
			}
		}
	}
}

func TestNetworkErrors(t *testing.T) {
	b := newBench(t, map[string]string{"proc/1/net/dev": netDevTitles + "eth0: 1 2 3\n"})
	if _, err := b.try(newNetwork(Defaults())); err == nil || !strings.Contains(err.Error(), `"eth0: 1 2 3"`) {
		t.Errorf("the error of a broken line is %v, want one that shows it", err)
	}
	// An interface after a broken line was not read in that tick, and has no rate
	// in the next: its counters are two seconds apart.
	f := newNetwork(Defaults())
	b.write(netDev("eth0 1000 0", "eth1 1000 0"))
	b.tick(f)
	b.write(map[string]string{"proc/1/net/dev": netDev("eth0 2000 0")["proc/1/net/dev"] + "x: 1\n" + "eth1: 2000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"})
	if _, err := b.try(f); err == nil {
		t.Error("a broken line was taken")
	}
	b.write(netDev("eth0 3000 0", "eth1 3000 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.network.io.rate{receive,eth0}": 1000, "sysotel.network.io.rate{receive,eth1}": unknown})
}

// TestNetworkAgreesWithSys reads the real machine's own counters, one file each,
// between two readings of ours.
func TestNetworkAgreesWithSys(t *testing.T) {
	h := NewHost("/")
	read := func() map[string]interfaceCounters {
		found := map[string]interfaceCounters{}
		var s networkSource
		err := s.each(t.Context(), h, func(name []byte, c interfaceCounters) { found[string(name)] = c })
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	statistic := func(name string, words ...string) uint64 {
		sum := uint64(0)
		for _, word := range words {
			text, err := os.ReadFile("/sys/class/net/" + name + "/statistics/" + word)
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		return sum
	}
	for _, name := range slices.Sorted(maps.Keys(read())) {
		before := read()[name]
		type row struct {
			what      string
			got       uint64
			low, high *uint64
		}
		var after interfaceCounters
		rows := []row{
			{"bytes received", statistic(name, "rx_bytes"), &before.receive.bytes, &after.receive.bytes},
			{"packets received", statistic(name, "rx_packets"), &before.receive.packets, &after.receive.packets},
			{"errors received", statistic(name, "rx_errors"), &before.receive.errors, &after.receive.errors},
			// The drop column of /proc/net/dev is the sum of two of /sys.
			{"dropped received", statistic(name, "rx_dropped", "rx_missed_errors"), &before.receive.dropped, &after.receive.dropped},
			{"bytes sent", statistic(name, "tx_bytes"), &before.transmit.bytes, &after.transmit.bytes},
			{"packets sent", statistic(name, "tx_packets"), &before.transmit.packets, &after.transmit.packets},
			{"errors sent", statistic(name, "tx_errors"), &before.transmit.errors, &after.transmit.errors},
			{"dropped sent", statistic(name, "tx_dropped"), &before.transmit.dropped, &after.transmit.dropped},
		}
		after = read()[name]
		for _, r := range rows {
			if r.got < *r.low || r.got > *r.high {
				t.Errorf("%s: %s is %d in /sys, %d before and %d after by us", name, r.what, r.got, *r.low, *r.high)
			}
		}
	}
}

func BenchmarkNetwork(b *testing.B) { benchmarkRead(b, newNetwork(Defaults())) }

// BenchmarkNetworkGopsutil is what the counters alone cost through gopsutil.
func BenchmarkNetworkGopsutil(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gopsutilnet.IOCountersByFileWithContext(b.Context(), true, "/proc/1/net/dev"); err != nil {
			b.Fatal(err)
		}
	}
}
