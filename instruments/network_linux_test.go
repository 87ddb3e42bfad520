package instruments

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gopsutilnet "github.com/shirou/gopsutil/v3/net"
	"golang.org/x/sys/unix"
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
		// What cannot be read is unknown by itself.
		{what: "too few numbers", line: "eth0: 1 2 3 4 5 6 7 8 9 10", name: "eth0", want: interfaceCounters{receive: want.receive, transmit: trafficCounters{9, 10, unknownCount, unknownCount}}, wrong: "column 11: there is no number"},
		{what: "a negative number", line: "eth0: 1 -2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", name: "eth0", want: interfaceCounters{receive: trafficCounters{1, unknownCount, 3, 4}, transmit: want.transmit}, wrong: `column 2: "-2"`},
		{what: "one below 0, written without a sign", line: "eth0: 1 2 3 4 5 6 7 8 18446744073709551600 10 11 12 13 14 15 16", name: "eth0", want: interfaceCounters{receive: want.receive, transmit: trafficCounters{unknownCount, 10, 11, 12}}, wrong: "column 9"},
		{what: "one that is not reported", line: "eth0: 1 2 3 4 x x x x 9 10 11 12 x x x x", name: "eth0", want: want},
		{what: "no name", line: "  : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", wrong: "no name"},
		{what: "no colon", line: "eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", wrong: "no colon"},
	} {
		t.Run(c.what, func(t *testing.T) {
			name, got, err := parseNetDev([]byte(c.line))
			if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("error is %v, want one with %q", err, c.wrong)
			}
			if string(name) != c.name || got != c.want {
				t.Errorf("got %q %+v, want %q %+v", name, got, c.name, c.want)
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

	// Its counters fall: the total is not known either, since a total without it would
	// be too small.
	b.write(netDev("lo 9000 9000", "eth0 13000 24000", "eth1 1000 1000"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{
		"sysotel.network.io.rate{receive,eth0}": 1000, "system.network.io{eth1,receive}": 77000,
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

func TestAttachment(t *testing.T) {
	b := newBench(t, map[string]string{
		"sys/class/net/lo/type":           "772\n",
		"sys/class/net/other-lo/type":     "772\n",
		"sys/class/net/eth0/device/":      "",
		"sys/class/net/eth0/type":         "1\n",
		"sys/class/net/eth0/upper_bond0/": "",
		"sys/class/net/slave0/device/":    "",
		"sys/class/net/slave0/master":     "-> ../bond0",
		"sys/class/net/bond0/uevent":      "DEVTYPE=bond\nINTERFACE=bond0\n",
		"sys/class/net/bond0/lower_eth0/": "", "sys/class/net/bond0/lower_slave0/": "",
		"sys/class/net/lan1/device/":        "",
		"sys/class/net/lan1/lower_eth0/":    "",
		"sys/class/net/lan1/uevent":         "DEVTYPE=dsa\nINTERFACE=lan1\n",
		"sys/class/net/vf0/device/":         "",
		"sys/class/net/vf0/master":          "-> ../eth0",
		"sys/class/net/wlan0/device/":       "",
		"sys/class/net/wlan0/uevent":        "DEVTYPE=wlan\n",
		"sys/class/net/wlan0mon/device/":    "",
		"sys/class/net/wlan0mon/type":       "803\n",
		"sys/class/net/nlmon0/type":         "824\n",
		"sys/class/net/ppp0/type":           "512\n",
		"sys/class/net/br0/bridge/":         "",
		"sys/class/net/br0/lower_eth0/":     "",
		"sys/class/net/vpn/tun_flags":       "0x1001\n",
		"sys/class/net/eth0.7/uevent":       "DEVTYPE=vlan\n",
		"sys/class/net/eth0.7/lower_eth0/":  "",
		"sys/class/net/macvlan0/lower_eth0": "-> ../eth0",
		"sys/class/net/wg0/uevent":          "DEVTYPE=wireguard\n",
		"sys/class/net/sit1/type":           "776\n",
		"sys/class/net/veth12ab/uevent":     "INTERFACE=veth12ab\n",
		"sys/class/net/docker0/uevent":      "\n",
		"sys/class/net/docker1/bridge/":     "",
		"sys/class/net/container0/uevent":   "INTERFACE=container0\n",
		// The machine's end and the guest's end of an interface of Xen.
		"sys/class/net/vif1.0/type": "1\n", "sys/class/net/vif1.0/device/subsystem": "-> ../../../bus/xen-backend",
		"sys/class/net/xeth0/type": "1\n", "sys/class/net/xeth0/device/subsystem": "-> ../../../bus/xen",
	})
	for name, want := range map[string]attachment{
		"lo": {kind: interfaceLoopback}, "other-lo": {kind: interfaceLoopback}, "dummy0": {kind: interfaceLoopback},
		"wlan0mon": {kind: interfaceLoopback}, "nlmon0": {kind: interfaceLoopback},
		"eth0": {kind: interfacePhysical}, "wlan0": {kind: interfacePhysical},
		// Of a bond the slaves count and it does not; of a cloud's pair
		// it is the other way round, because the master is hardware too.
		"slave0": {kind: interfacePhysical}, "bond0": {kind: interfaceVirtual, on: []string{"eth0", "slave0"}}, "vf0": {kind: interfacePhysical, on: []string{"eth0"}},
		"lan1": {kind: interfacePhysical, on: []string{"eth0"}}, "br0": {kind: interfaceInner, on: []string{"eth0"}, switches: true},
		"vpn": {kind: interfaceInner}, "eth0.7": {kind: interfaceInner, on: []string{"eth0"}}, "wg0": {kind: interfaceInner}, "sit1": {kind: interfaceInner},
		"macvlan0": {kind: interfaceVirtual, on: []string{"eth0"}}, "ppp0": {kind: interfaceVirtual, line: true},
		"veth12ab": {kind: interfaceInner}, "docker0": {kind: interfaceInner}, "docker1": {kind: interfaceInner, switches: true},
		"vif1.0": {kind: interfaceInner}, "xeth0": {kind: interfacePhysical},
		"virbr0": {kind: interfaceInner}, "tap3": {kind: interfaceInner},
		"container0": {kind: interfaceVirtual}, "unseen0": {kind: interfaceVirtual},
	} {
		if got := b.host.attachment(name); !got.equal(&want) {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
}

func TestParseSpeed(t *testing.T) {
	for text, want := range map[string]float64{
		"1000": 1e9, "2500": 2.5e9, "800000": 8e11, "10": 1e7,
		"-1": unknown, "0": unknown, "65535": unknown, "4294967295": unknown, "18446744073709551615": unknown, "": unknown, "fast": unknown,
	} {
		if got := parseSpeed(text); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("speed %q is %v, want %v", text, got, want)
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

// tickSettled reads the collector and waits for what it asks beside the tick.
func tickSettled(b *bench, f Collector) *Network {
	b.t.Helper()
	r := b.tick(f).(*Network)
	f.(*network).changes.settle(b.host)
	f.(*network).links.settle(b.host)
	f.(*network).attachments.settle(b.host)
	return r
}

// How an interface is connected is asked beside the tick: when its name appears, then
// once a minute, and when its link has come and gone.
func TestSpeedIsAskedBesideTheTick(t *testing.T) {
	b := newBench(t, map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth0/speed": "100\n", "sys/class/net/eth0/carrier_changes": "2\n"})
	f := newNetwork(Defaults())
	b.write(netDev("eth0 1 1"))
	if r := tickSettled(b, f); !math.IsNaN(r.Interfaces[0].Speed) {
		t.Errorf("the first tick waited for a speed: %v", r.Interfaces[0].Speed)
	}
	b.write(map[string]string{"sys/class/net/eth0/speed": "1000\n"})
	for second := range 60 {
		if r := tickSettled(b, f); r.Interfaces[0].Speed != 100e6 {
			t.Fatalf("after %d s the speed is %v", second+1, r.Interfaces[0].Speed)
		}
	}
	if r := tickSettled(b, f); r.Interfaces[0].Speed != 1000e6 {
		t.Errorf("after a minute the speed is %v, want 1e9", r.Interfaces[0].Speed)
	}
	b.write(map[string]string{"sys/class/net/eth0/speed": "-1\n", "sys/class/net/eth0/carrier_changes": "4\n"})
	for range changesEvery/time.Second + 2 {
		tickSettled(b, f)
	}
	if r := tickSettled(b, f); !math.IsNaN(r.Interfaces[0].Speed) {
		t.Errorf("the speed is %v, want unknown", r.Interfaces[0].Speed)
	}
}

// Files of drivers that take long, of interfaces that are left out or virtual above all, cost
// no tick: here they are pipes that nobody writes to.
func TestSlowSpeedsCostNoTick(t *testing.T) {
	files := map[string]string{"sys/class/net/eth0/device/": ""}
	names := []string{"eth0"}
	for i := range 60 {
		names = append(names, fmt.Sprint("veth", i), fmt.Sprint("macvlan", i))
		files[fmt.Sprint("sys/class/net/veth", i, "/")] = ""
		files[fmt.Sprint("sys/class/net/macvlan", i, "/lower_eth0/")] = ""
	}
	b := newBench(t, files)
	for _, name := range names {
		if err := unix.Mkfifo(filepath.Join(b.host.root, "sys/class/net", name, "speed"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := newNetwork(with("network", nil, []string{"veth*"}))
	for i := range 5 {
		var lines []string
		for _, name := range names {
			lines = append(lines, fmt.Sprint(name, " ", 1000*i, " 0"))
		}
		b.write(netDev(lines...))
		r := b.tick(f).(*Network)
		if i > 0 && r.Total.BytesReceivedPerSecond != 1000 {
			t.Errorf("the total is %v", r.Total.BytesReceivedPerSecond)
		}
	}
	// The one read that hangs is that of the only physical interface.
	w, err := os.OpenFile(filepath.Join(b.host.root, "sys/class/net/eth0/speed"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("1000\n"); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	f.(*network).links.settle(b.host)
	if r := b.tick(f).(*Network); r.Interfaces[0].Speed != 1e9 {
		t.Errorf("the speed is %v in the end", r.Interfaces[0].Speed)
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
		return tickSettled(b, f)
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
	wantPoints(t, step(9_000_000), map[string]float64{"sysotel.network.io.rate{receive,eth0}": unknown, "sysotel.network.implausible{eth0}": 2 + burst})
	wantPoints(t, step(9_000_000), map[string]float64{"sysotel.network.io.rate{receive,eth0}": 9_000_000, "sysotel.network.implausible{eth0}": 2 + burst})
}

// A counter that shows 0 for an instant gives no rate of everything since boot, whatever
// is known of the link; nor does one that is 0 when the agent starts, or a jump that no
// link carries. What stays is believed.
func TestInterfaceShowsZeroForAnInstant(t *testing.T) {
	const boot = 4_000_000_000_000
	for _, speed := range []string{"-1\n", "1000\n", "4294967295\n"} {
		b := newBench(t, map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth0/speed": speed})
		f := newNetwork(Defaults())
		for i, c := range []struct {
			bytes, rate, counter float64
		}{
			{boot, unknown, boot}, {boot + 1e5, 1e5, boot + 1e5},
			{0, unknown, boot + 1e5}, {boot + 3e5, unknown, boot + 3e5}, {boot + 4e5, 1e5, boot + 4e5},
			{0, unknown, boot + 4e5}, {0, unknown, boot + 4e5}, {boot + 7e5, unknown, boot + 7e5}, {boot + 8e5, 1e5, boot + 8e5},
			{2 * boot, unknown, 2 * boot}, {2*boot + 1e5, 1e5, 2*boot + 1e5},
		} {
			b.write(netDev(fmt.Sprintf("eth0 %.0f 0", c.bytes)))
			r := tickSettled(b, f)
			wantPoints(t, r, totals(c.rate, zeroIfKnown(c.rate)))
			wantPoints(t, r, map[string]float64{"sysotel.network.io.rate{receive,eth0}": c.rate, "system.network.io{eth0,receive}": c.counter})
			if t.Failed() {
				t.Fatalf("speed %q, reading %d", speed, i)
			}
		}
		f = newNetwork(Defaults())
		b.write(netDev("eth0 0 0"))
		tickSettled(b, f)
		b.write(netDev(fmt.Sprint("eth0 ", boot, " 0")))
		wantPoints(t, tickSettled(b, f), totals(unknown, unknown))
	}
}

func zeroIfKnown(v float64) float64 {
	if math.IsNaN(v) {
		return v
	}
	return 0
}

// An interface that is replaced under its name within a tick begins anew, though its
// counters are above those of the old one.
func TestInterfaceReplacedUnderItsName(t *testing.T) {
	b := newBench(t, map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth0/ifindex": "2\n", "sys/class/net/eth0/speed": "1000\n"})
	f := newNetwork(Defaults())
	b.write(netDev("eth0 10000 10000"))
	tickSettled(b, f)
	b.write(netDev("eth0 20000 20000"))
	tickSettled(b, f)
	b.write(map[string]string{"sys/class/net/eth0/ifindex": "9\n", "sys/class/net/eth0/speed": "10\n"})
	b.write(netDev("eth0 50000 60000"))
	r := tickSettled(b, f)
	// Its counter began at 0 since the tick before: readers see that, too.
	wantPoints(t, r, map[string]float64{"sysotel.network.io.rate{receive,eth0}": unknown, "system.network.io{eth0,receive}": 0, "system.network.packets{eth0,transmit}": 0})
	wantPoints(t, r, totals(unknown, unknown))
	if !math.IsNaN(r.Interfaces[0].Speed) {
		t.Errorf("it has the speed of the old one: %v", r.Interfaces[0].Speed)
	}
	b.write(netDev("eth0 51000 62000"))
	r = tickSettled(b, f)
	wantPoints(t, r, map[string]float64{"sysotel.network.io.rate{receive,eth0}": 1000, "system.network.io{eth0,receive}": 51000})
	if r.Interfaces[0].Speed != 10e6 {
		t.Errorf("the speed is %v", r.Interfaces[0].Speed)
	}
}

// TestNetworkTotalHasEachByteOnce: an interface is left out of the total only while its
// relative is seen to count. A line is a machine: its /sys, what each interface receives
// a second ("frozen" is what it counted before and for ever), and the total.
func TestNetworkTotalHasEachByteOnce(t *testing.T) {
	device := func(names ...string) map[string]string {
		files := map[string]string{}
		for _, name := range names {
			files["sys/class/net/"+name+"/device/"] = ""
		}
		return files
	}
	none := func() map[string]string { return map[string]string{} }
	and := func(files map[string]string, more ...string) map[string]string {
		for i := 0; i < len(more); i += 2 {
			files["sys/class/net/"+more[i]] = more[i+1]
		}
		return files
	}
	for _, c := range []struct {
		what  string
		sys   map[string]string
		rates map[string]int
		want  float64
	}{
		{"a bond", and(device("eth0", "eth1"), "eth0/master", "-> ../bond0", "eth1/master", "-> ../bond0", "bond0/lower_eth0/", "", "bond0/lower_eth1/", ""), map[string]int{"eth0": 100, "eth1": 200, "bond0": 300}, 300},
		{"a bond of slaves that do not count", and(device("eth0", "eth1"), "bond0/lower_eth0/", "", "bond0/lower_eth1/", ""), map[string]int{"eth0": 0, "eth1": 0, "bond0": 300}, 300},
		{"a bond in a container", and(none(), "bond0/lower_net0/", "", "bond0/lower_net1/", ""), map[string]int{"net0": 100, "net1": 200, "bond0": 300}, 300},
		{"a team", and(device("eth0"), "team0/lower_eth0/", ""), map[string]int{"eth0": 100, "team0": 100}, 100},
		{"VLANs on a bond on a bridge", and(device("eth0"), "bond0/lower_eth0/", "", "bond0.7/lower_bond0/", "", "bond0.7/uevent", "DEVTYPE=vlan\n", "br0/bridge/", "", "br0/lower_bond0.7/", ""), map[string]int{"eth0": 100, "bond0": 100, "bond0.7": 100, "br0": 100}, 100},
		{"a VLAN on an interface that does not count", and(device("eth0"), "eth0.7/lower_eth0/", "", "eth0.7/uevent", "DEVTYPE=vlan\n"), map[string]int{"eth0": 0, "eth0.7": 100}, 100},
		{"macvlan on a container's interface", and(none(), "macvlan0/lower_eth0/", ""), map[string]int{"eth0": 100, "macvlan0": 60}, 100},
		{"a container's macvlan", none(), map[string]int{"eth0": 100}, 100},
		{"a bridge and what is behind it", and(device("eth0"), "br0/bridge/", "", "br0/lower_eth0/", "", "br0/lower_veth1/", ""), map[string]int{"eth0": 100, "br0": 90, "veth1": 50}, 100},
		{"a bridge alone, talking to itself", and(device("eth0"), "br0/bridge/", "", "br0/lower_tap0/", ""), map[string]int{"eth0": 0, "br0": 90, "tap0": 0}, 0},
		{"a dummy and a container's way out", none(), map[string]int{"eth0": 100, "dummy0": 50, "lo": 70}, 100},
		{"ports of a switch chip", and(device("eth0", "lan1", "lan2"), "lan1/uevent", "DEVTYPE=dsa\n", "lan2/uevent", "DEVTYPE=dsa\n", "lan1/lower_eth0/", "", "lan2/lower_eth0/", ""), map[string]int{"eth0": 100, "lan1": 60, "lan2": 40}, 100},
		{"ports of a chip whose conduit does not count", and(device("eth0", "lan1", "lan2"), "lan1/uevent", "DEVTYPE=dsa\n", "lan2/uevent", "DEVTYPE=dsa\n", "lan1/lower_eth0/", "", "lan2/lower_eth0/", ""), map[string]int{"eth0": 0, "lan1": 60, "lan2": 40}, 100},
		{"the fast path of a cloud", and(device("eth0", "enP1"), "enP1/master", "-> ../eth0"), map[string]int{"eth0": 100, "enP1": 90}, 100},
		{"a fast path whose master does not count it", and(device("eth0", "enP1"), "enP1/master", "-> ../eth0"), map[string]int{"eth0": 0, "enP1": 90}, 90},
		{"representors", and(device("p0", "rep0", "rep1"), "p0/phys_switch_id", "ab\n", "rep0/phys_switch_id", "ab\n", "rep1/phys_switch_id", "ab\n", "p0/phys_port_name", "p0\n", "rep0/phys_port_name", "pf0vf0\n", "rep1/phys_port_name", "pf0sf88\n"), map[string]int{"p0": 100, "rep0": 60, "rep1": 40}, 100},
		{"representors of another switch", and(device("p0", "rep0"), "p0/phys_switch_id", "ab\n", "rep0/phys_switch_id", "cd\n", "p0/phys_port_name", "p0\n", "rep0/phys_port_name", "pf0vf0\n"), map[string]int{"p0": 100, "rep0": 60}, 160},
		{"a switch of front ports", and(device("swp1", "swp2"), "swp1/phys_switch_id", "ab\n", "swp2/phys_switch_id", "ab\n", "swp1/phys_port_name", "p1\n", "swp2/phys_port_name", "p2s1\n"), map[string]int{"swp1": 100, "swp2": 60}, 160},
		{"a radio that listens", and(device("wlan0", "wlan0mon"), "wlan0mon/type", "803\n"), map[string]int{"wlan0": 100, "wlan0mon": 5000}, 100},
		{"tunnels", and(device("eth0"), "wg0/uevent", "DEVTYPE=wireguard\n", "tun0/tun_flags", "1\n"), map[string]int{"eth0": 100, "wg0": 50, "tun0": 30}, 100},
		{"PPP over an interface", and(device("eth0"), "ppp0/type", "512\n"), map[string]int{"eth0": 110, "ppp0": 100}, 110},
		{"PPP over a modem", and(device("eth0"), "ppp0/type", "512\n"), map[string]int{"eth0": 10, "ppp0": 100}, 110},
		{"PPP alone", and(none(), "ppp0/type", "512\n"), map[string]int{"ppp0": 100}, 100},
		{"only a tunnel and bridges", and(none(), "br0/bridge/", "", "br0/lower_veth1/", ""), map[string]int{"br0": 50, "veth1": 50, "lo": 9}, 50},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBench(t, c.sys)
			f := newNetwork(Defaults())
			var r *Network
			for second := range 6 {
				var lines []string
				for _, name := range slices.Sorted(maps.Keys(c.rates)) {
					lines = append(lines, fmt.Sprint(name, " ", second*c.rates[name], " 0"))
				}
				b.write(netDev(lines...))
				r = tickSettled(b, f)
			}
			if r.Total.BytesReceivedPerSecond != c.want {
				t.Errorf("the total is %v, want %v", r.Total.BytesReceivedPerSecond, c.want)
			}
			sum := 0
			for _, i := range r.Interfaces {
				if i.Counted {
					sum += c.rates[i.Name]
				}
			}
			if _, hidden := c.rates["veth1"]; !hidden && float64(sum) != c.want {
				t.Errorf("those that say they count have %d, want %v", sum, c.want)
			}
		})
	}
}

// BenchmarkInterfaces: the cost grows with the number of interfaces and no faster.
func BenchmarkInterfaces(b *testing.B) {
	for _, n := range []int{8, 200, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := NewHost(b.TempDir())
			files := map[string]string{}
			var lines []string
			for i := range n / 4 {
				eth := fmt.Sprint("eth", i)
				lines = append(lines, eth+" 9 9", fmt.Sprint("veth", i, " 9 9"), fmt.Sprint(eth, ".7 9 9"), fmt.Sprint("br", i, " 9 9"))
				files["sys/class/net/"+eth+"/device/"], files["sys/class/net/"+eth+"/ifindex"] = "", fmt.Sprintln(i)
				files["sys/class/net/"+eth+".7/uevent"], files["sys/class/net/"+eth+".7/lower_"+eth+"/"] = "DEVTYPE=vlan\n", ""
				files[fmt.Sprint("sys/class/net/br", i, "/bridge/")] = ""
			}
			maps.Copy(files, netDev(lines...))
			layFiles(b, h.root, files)
			f := newNetwork(Defaults())
			f.(*network).connections.at = time.Now().Add(time.Hour)
			var seq uint64
			b.ReportAllocs()
			for b.Loop() {
				seq++
				if _, err := f.Read(b.Context(), h, Tick{Seq: seq, Interval: 1e9}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/interface")
		})
	}
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
	// Only a file without a good line is an error.
	b := newBench(t, map[string]string{"proc/1/net/dev": netDevTitles + "eth0: x 2 3\n"})
	if _, err := b.try(newNetwork(Defaults())); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("the error of a broken file is %v, want one that shows it", err)
	}
	b.write(map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth1/device/": ""})
	f := newNetwork(Defaults())
	b.write(netDev("eth0 1000 0", "eth1 1000 0"))
	b.tick(f)
	// A number that cannot be read costs itself, a line without a name itself. The rest stands.
	b.write(map[string]string{"proc/1/net/dev": netDevTitles + "eth0: -1 20 2 4 0 0 0 0 500 5 0 1 0 0 0 0\nbroken\neth1: 2000 20 2 4 0 0 0 0 0 0 0 0 0 0 0 0\neth1: 9 9\n"})
	r := b.tick(f)
	wantPoints(t, r, map[string]float64{
		"sysotel.network.io.rate{receive,eth0}": unknown, "system.network.io{eth0,receive}": unknown, "sysotel.network.io.rate{transmit,eth0}": 500,
		"sysotel.network.packets.rate{receive,eth0}": 10, "sysotel.network.io.rate{receive,eth1}": 1000,
		"sysotel.network.io.rate{receive,}": unknown, "sysotel.network.io.rate{transmit,}": 500, "sysotel.network.packets.rate{receive,}": 20,
	})
	if got, want := missingText(r), `/proc/net/dev: eth0 column 1: "-1" is not a number that can be, /proc/net/dev line "broken" has no colon after a name, /proc/net/dev: eth1 column 3: there is no number`; got != want {
		t.Errorf("missing is %s, want %s", got, want)
	}
	b.write(netDev("eth0 3000 500", "eth1 3000 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.network.io.rate{receive,eth0}": unknown, "system.network.io{eth0,receive}": 3000, "sysotel.network.io.rate{receive,eth1}": 1000})
	b.write(netDev("eth0 4000 500", "eth1 3000 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.network.io.rate{receive,eth0}": 1000, "sysotel.network.io.rate{receive,}": 1000})
}

// TestInterfaceThatLacksANumber: a driver that counts no errors costs the total of the
// errors a minute, and no other number. Of an error that nobody counts there is no total.
func TestInterfaceThatLacksANumber(t *testing.T) {
	b := newBench(t, map[string]string{"sys/class/net/eth0/device/": "", "sys/class/net/eth1/device/": ""})
	f := newNetwork(Defaults())
	for second := range 70 {
		bytes := 1000 * second
		b.write(map[string]string{"proc/1/net/dev": fmt.Sprintf("%seth0: %d 1 -1 0 0 0 0 0 %d 1 -1 0 0 0 0 0\neth1: %d 1 %d 0 0 0 0 0 0 0 -1 0 0 0 0 0\n", netDevTitles, bytes, bytes, bytes, second)})
		r := b.tick(f)
		if second == 0 {
			continue
		}
		errors := unknown
		if second > 60 {
			errors = 1
		}
		wantPoints(t, r, map[string]float64{
			"sysotel.network.io.rate{receive,}": 2000, "sysotel.network.io.rate{transmit,}": 1000, "sysotel.network.dropped.rate{receive,}": 0,
			"sysotel.network.errors.rate{receive,}": errors, "sysotel.network.errors.rate{transmit,}": unknown,
			"sysotel.network.errors.rate{receive,eth0}": unknown, "sysotel.network.errors.rate{receive,eth1}": 1,
		})
		if gone := strings.Contains(missingText(r), "eth0 has lacked a rate for a minute; totals go on without it"); gone != (second > 60) {
			t.Errorf("second %d: said that totals go on without it: %v", second, gone)
		}
	}
}

// TestNetworkAgreesWithSys reads the real machine's own counters, one file each,
// between two readings of ours.
func TestNetworkAgreesWithSys(t *testing.T) {
	h := NewHost("/")
	read := func() map[string]interfaceCounters {
		found := map[string]interfaceCounters{}
		var s networkSource
		var bad misread
		err := s.each(t.Context(), h, &bad, func(name []byte, c *interfaceCounters) { found[string(name)] = *c })
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
