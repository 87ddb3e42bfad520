package instruments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
)

// kernelFamilies are the collectors of the kernel's own counters.
var kernelFamilies = []string{"kernel", "vmstat", "meminfo", "netdev", "netstat", "sockstat", "softnet", "conntrack", "arp", "schedstat", "timex"}

func kernelCollectors() (list []Collector) {
	for _, c := range everyCollector() {
		for _, name := range kernelFamilies {
			if c.Name() == name {
				list = append(list, c)
			}
		}
	}
	return list
}

// BenchmarkKernelFamilies is what they cost together in a tick on this machine. They may
// take 800 µs: 0.08 % of a core each second.
func BenchmarkKernelFamilies(b *testing.B) {
	h, list := NewHost("/"), kernelCollectors()
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		t := Tick{Time: time.Now(), Seq: seq, Interval: time.Second}
		// Another collector reads them in each tick already.
		if _, err := h.procStat(b.Context(), t); err != nil {
			b.Fatal(err)
		}
		for _, c := range list {
			if _, err := c.Read(b.Context(), h, t); err != nil && !errors.Is(err, ErrUnsupported) {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkReportKernelFamilies is what it costs to hand their readings to OpenTelemetry,
// whose own part is left out.
func BenchmarkReportKernelFamilies(b *testing.B) {
	h := NewHost("/")
	type one struct {
		in *Instruments
		r  Reading
	}
	var all []one
	points := 0
	for _, c := range kernelCollectors() {
		r, err := c.Read(b.Context(), h, Tick{Time: time.Now(), Seq: 1, Interval: time.Second})
		if errors.Is(err, ErrUnsupported) {
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
		in, err := NewInstruments(c, noop.NewMeterProvider().Meter(""), Hostmetrics)
		if err != nil {
			b.Fatal(err)
		}
		Visit(r, func(*Metric, float64, []string) { points++ })
		all = append(all, one{in, r})
	}
	at := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for _, o := range all {
			o.in.Report(noop.Observer{}, o.r, at)
		}
	}
	b.ReportMetric(float64(points), "points")
}

// TestKernelFamiliesMakeLittleGarbage: a tick makes the readings, which are kept, and hardly
// anything else.
func TestKernelFamiliesMakeLittleGarbage(t *testing.T) {
	h := NewHost("/")
	for _, c := range kernelCollectors() {
		if c.Name() == "netdev" {
			continue // What it reads beside the tick would be counted too.
		}
		seq := uint64(0)
		read := func() {
			seq++
			_, err := c.Read(context.Background(), h, Tick{Time: time.Now(), Seq: seq, Interval: time.Second})
			if err != nil && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("%s: %v", c.Name(), err)
			}
		}
		read()
		const most = 8
		if allocations := testing.AllocsPerRun(20, read); allocations > most {
			t.Errorf("%s makes %v allocations in a tick", c.Name(), allocations)
		}
	}
}

// kernelReading is the reading of a collector from files.
func kernelReading(t *testing.T, collector string, files map[string]string) (points map[string]string, missing []Missing, err error) {
	t.Helper()
	tree := t.TempDir()
	for name, text := range files {
		writeFile(t, tree+"/"+name, text)
	}
	h := NewHost(tree)
	h.ownNetwork = true
	for _, c := range kernelCollectors() {
		if c.Name() != collector {
			continue
		}
		r, err := c.Read(context.Background(), h, Tick{Time: time.Now(), Seq: 1, Interval: time.Second})
		if err != nil {
			return nil, nil, err
		}
		points = map[string]string{}
		Visit(r, func(m *Metric, v float64, values []string) {
			text := pointText(m, v, values)
			i := strings.LastIndexByte(text, ' ')
			points[text[:i]] = text[i+1:]
		})
		if partial, ok := r.(Partial); ok {
			for _, one := range partial.Missing() {
				if !one.Hidden {
					missing = append(missing, one)
				}
			}
		}
	}
	return points, missing, nil
}

// TestKernelFamiliesFieldByField: what cannot be read is unknown by itself and is named; the
// rest of the file stands.
func TestKernelFamiliesFieldByField(t *testing.T) {
	const stat = "cpu0 1 0 0 1 0 0 0 0 5 6\nbtime 1767225600\n"
	for _, c := range []struct {
		what, collector string
		files           map[string]string
		has             map[string]string
		lacks           []string
		missing         string
	}{
		{
			"interrupts", "kernel", map[string]string{"proc/stat": stat + "intr 99999999999999999999 1\nsoftirq 9 1 x 3\nprocs_running 2\n"},
			map[string]string{"sysotel.kernel.softirqs{kind=net_tx}": "3", "sysotel.kernel.tasks{state=running}": "2", "sysotel.cpu.guest.time{cpu=cpu0,state=user}": "0.05"},
			[]string{"sysotel.kernel.interrupts{}", "sysotel.kernel.softirqs{kind=timer}", "sysotel.kernel.softirqs{kind=net_rx}", "sysotel.kernel.tasks{state=blocked}"},
			`/proc/stat: intr, /proc/stat: softirq timer`,
		},
		{
			"no limit of files", "kernel", map[string]string{"proc/stat": stat, "proc/sys/fs/file-nr": "10\t0\t9223372036854775807\n"},
			map[string]string{"sysotel.kernel.files.usage{}": "10", "sysotel.kernel.files.limit{}": "9223372036854776000"}, nil, "",
		},
		{
			"a line of titles without numbers", "netstat", map[string]string{"proc/1/net/snmp": "Tcp: InSegs OutSegs\nUdp: InDatagrams\nUdp: 5\n"},
			map[string]string{"sysotel.netstat.events{protocol=Udp,event=InDatagrams}": "5"},
			[]string{"sysotel.netstat.events{protocol=Tcp,event=InSegs}"}, "/proc/net/snmp: Tcp",
		},
		{
			"fewer numbers than titles", "netstat", map[string]string{"proc/1/net/snmp": "Tcp: InSegs OutSegs\nTcp: 7\n"},
			map[string]string{"sysotel.netstat.events{protocol=Tcp,event=InSegs}": "7"},
			[]string{"sysotel.netstat.events{protocol=Tcp,event=OutSegs}"}, "/proc/net/snmp: Tcp OutSegs",
		},
		{
			"more numbers than titles", "netstat", map[string]string{"proc/1/net/snmp": "Tcp: InSegs OutSegs\nTcp: 7 8 9\nUdp: InDatagrams\nUdp: 5\n"},
			map[string]string{"sysotel.netstat.events{protocol=Udp,event=InDatagrams}": "5"},
			[]string{"sysotel.netstat.events{protocol=Tcp,event=InSegs}"}, "/proc/net/snmp: Tcp",
		},
		{
			"a processor that is listed twice", "softnet", map[string]string{"proc/1/net/softnet_stat": strings.Repeat("00000005 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002\n", 2)},
			map[string]string{"sysotel.softnet.events{cpu=cpu2,event=processed}": "5"}, nil, "/proc/net/softnet_stat: cpu2",
		},
		{
			"a kernel of old", "softnet", map[string]string{"proc/1/net/softnet_stat": "0000000f 00000001 00000000\n"},
			map[string]string{"sysotel.softnet.events{cpu=cpu0,event=processed}": "15", "sysotel.softnet.events{cpu=cpu0,event=dropped}": "1"},
			[]string{"sysotel.softnet.backlog{cpu=cpu0}", "sysotel.softnet.events{cpu=cpu0,event=received_rps}"}, "",
		},
		{
			"a queue that cannot be read", "sockstat", map[string]string{"proc/1/net/sockstat": "sockets: used 3\nTCP: inuse 2 mem 3\n", "proc/1/net/udp": "title\n 1: 0:0 0:0 07 00000001:xyz\n"},
			map[string]string{"sysotel.sockstat.used{}": "3", "sysotel.sockstat.sockets{protocol=TCP,state=inuse}": "2", "sysotel.sockstat.memory{protocol=TCP}": fmt.Sprint(3 * os.Getpagesize())},
			[]string{"sysotel.sockstat.udp.queues{queue=rx,ip=v4}"}, "/proc/net/udp",
		},
		{
			"a hostile name", "arp", map[string]string{"proc/1/net/arp": "titles\n192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth\x1b0\n192.0.2.2 0x1\n"},
			map[string]string{`sysotel.arp.entries{device=eth\x1b0}`: "1"}, nil, "/proc/net/arp",
		},
		{
			"one event of one processor", "conntrack", map[string]string{
				"proc/sys/net/netfilter/nf_conntrack_count": "5\n", "proc/sys/net/netfilter/nf_conntrack_max": "-1\n",
				"proc/1/net/stat/nf_conntrack": "entries found drop\n5 1 2\n5 1 z\n",
			},
			map[string]string{"system.network.conntrack.count{}": "5", "sysotel.conntrack.events{event=found}": "2"},
			[]string{"system.network.conntrack.max{}", "sysotel.conntrack.events{event=drop}", "sysotel.conntrack.events{event=insert}"},
			"/proc/sys/net/netfilter/nf_conntrack_max, /proc/net/stat/nf_conntrack: drop",
		},
		{
			"a field that is listed twice", "meminfo", map[string]string{"proc/meminfo": "MemTotal: 5 kB\nDirty: 3 kB\nDirty: 4 kB\n"},
			map[string]string{"sysotel.meminfo.field{field=Dirty}": "3072", "system.linux.memory.dirty{}": "3072"}, nil, "/proc/meminfo: Dirty",
		},
		{
			"one number of an interface", "netdev", map[string]string{"proc/1/net/dev": "  eth0: 1 2 3 4 5 6 7 x 1 2 3 4 5 6 7 8\n"},
			map[string]string{"sysotel.netdev.events{device=eth0,direction=receive,event=fifo}": "5", "sysotel.netdev.events{device=eth0,direction=transmit,event=carrier}": "7"},
			[]string{"sysotel.netdev.events{device=eth0,direction=receive,event=multicast}"}, "/proc/net/dev: eth0",
		},
		{
			"one number of a processor", "schedstat", map[string]string{"proc/schedstat": "cpu0 0 0 0 0 0 0 1500000000 x 7\ncpux 1\n"},
			map[string]string{"sysotel.schedstat.running.time{cpu=cpu0}": "1.5", "sysotel.schedstat.timeslices{cpu=cpu0}": "7"},
			[]string{"sysotel.schedstat.waiting.time{cpu=cpu0}"}, "/proc/schedstat: cpu0, /proc/schedstat: a line of a processor",
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			points, missing, err := kernelReading(t, c.collector, c.files)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.has {
				if points[name] != want {
					t.Errorf("%s is %q, want %s", name, points[name], want)
				}
			}
			for _, name := range c.lacks {
				if v, ok := points[name]; ok {
					t.Errorf("%s is %s and not unknown", name, v)
				}
			}
			var subjects []string
			for _, m := range missing {
				subjects = append(subjects, m.Subject)
			}
			if got := strings.Join(subjects, ", "); got != c.missing {
				t.Errorf("missing are %q, want %q", got, c.missing)
			}
		})
	}
}

// TestKernelFamiliesOfNothing: a file of which nothing can be read is an error, one that is
// not there is of a kernel without it.
func TestKernelFamiliesOfNothing(t *testing.T) {
	for collector, file := range map[string]string{
		"vmstat": "proc/vmstat", "netstat": "proc/1/net/snmp", "sockstat": "proc/1/net/sockstat", "softnet": "proc/1/net/softnet_stat",
		"conntrack": "proc/sys/net/netfilter/nf_conntrack_count", "schedstat": "proc/schedstat", "netdev": "proc/1/net/dev", "meminfo": "proc/meminfo",
	} {
		text := "eth0: x\nfoo bar\n"
		if _, _, err := kernelReading(t, collector, map[string]string{file: text}); err == nil || errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v for a file of which nothing can be read", collector, err)
		}
		if collector == "vmstat" || collector == "meminfo" {
			continue // Every kernel has them.
		}
		if _, _, err := kernelReading(t, collector, nil); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v without the file, want that the machine lacks it", collector, err)
		}
	}
}

func FuzzKernelFamilies(f *testing.F) {
	for _, text := range []string{
		"pgpgin 5\npgfault 90\n", "Tcp: InSegs OutSegs\nTcp: 5 6\n", "Ip6InOctets 5\n", "TCP: inuse 5 mem 3\n", "0000000f 00000001\n",
		"entries found drop\n5 1 2\n", "a\n192.0.2.1 0x1 0x2 02:fc * eth0\n", "cpu0 0 0 0 0 0 0 1 2 3\n", "  eth0: 1 2 3 4 5 6 7 8 9\n", "Dirty: 5 kB\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = parseVMStat(text)
		n := newNetstat().(*netstat)
		n.parse(text, "snmp", &Netstat{})
		parseSNMP6(text, &[netstatCount]uint64{}, &misread{})
		parseSockets(text, "sockstat", &Sockstat{})
		_, _, _ = parseSoftnet(text)
		newConntrack().(*conntrack).parse(text, &[conntrackEventCount]uint64{}, &misread{})
		parseARP(text)
		_, _ = parseSchedstat(text)
		_, _, _ = parseNetdevColumns(text)
		_, _ = parseMeminfo(text, nil)
	})
}
