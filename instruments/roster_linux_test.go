package instruments

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"sysotel/instruments/heaptest"
)

// seriesOf returns the points of a reading by metric and values, and adds up those of each
// metric, by direction or state where there is one.
func seriesOf(r Reading) (points, sums map[string]float64) {
	points, sums = map[string]float64{}, map[string]float64{}
	Visit(r, func(m *Metric, v float64, values []string) {
		points[m.Name+"{"+strings.Join(values, ",")+"}"] = v
		kind := ""
		for i, k := range m.Keys {
			if k.Name == "direction" || k.Name == "state" {
				kind = values[i]
			}
			if k.Name == "device" && values[i] == "" {
				return // It is the total.
			}
		}
		sums[m.Name+" "+kind] += v
	})
	return points, sums
}

// increase adds up by how much each series of a metric in both readings has grown.
func increase(before, after map[string]float64, metric, kind string) (sum float64) {
	for name, v := range after {
		if b, ok := before[name]; ok && strings.HasPrefix(name, metric+"{") && strings.Contains(name, kind) {
			sum += v - b
		}
	}
	return sum
}

// TestFiveThousandInterfaces: so many have names, among them those that are in the total and
// those with most traffic; the sums over all are true at each tick, also where a name is
// given and taken back; and a reading of ten times as many things is as long as one of a few.
func TestFiveThousandInterfaces(t *testing.T) {
	const n = 5000
	b := newBench(t, map[string]string{"sys/class/net/eth0/device/": ""})
	f := newNetwork(Defaults())
	bytes := make([]uint64, n)
	lines := func(busy int) []string {
		all := []string{"eth0 1000 1000"}
		for i := range n {
			bytes[i] += uint64(i % 7 * 1000)
			if i == busy {
				bytes[i] += 50_000_000
			}
			all = append(all, fmt.Sprintf("tap%d %d %d", i, bytes[i], 2*bytes[i]))
		}
		return all
	}
	total := func() (sum float64) {
		for _, n := range bytes {
			sum += float64(n)
		}
		return sum
	}
	b.write(netDev(lines(-1)...))
	before, _ := seriesOf(b.tick(f))
	named := func(points map[string]float64, name string) bool {
		_, ok := points["system.network.io{"+name+",receive}"]
		return ok
	}
	var r *Network
	tick := func(busy int) map[string]float64 {
		last := total()
		b.write(netDev(lines(busy)...))
		r = b.tick(f).(*Network)
		points, sums := seriesOf(r)
		grown := total() - last
		if got := increase(before, points, "system.network.io", "receive"); got != grown {
			t.Fatalf("the counters have grown by %v, %v was received", got, grown)
		}
		if got := sums["sysotel.network.io.rate receive"]; math.Abs(got-grown) > 1e-6*grown {
			t.Fatalf("the rates add up to %v, %v was received in a second", got, grown)
		}
		if len(r.Interfaces) != defaultNames+1 || len(r.Unnamed) != n+1-defaultNames || len(points) > 20*(defaultNames+2) || !named(points, "eth0") {
			t.Fatalf("%d interfaces are named, %d are not, there are %d points", len(r.Interfaces)-1, len(r.Unnamed), len(points))
		}
		before = points
		return points
	}
	var p map[string]float64
	for range 5 {
		p = tick(-1)
	}
	if named(p, "tap4321") {
		t.Error("an interface like any other is named")
	}
	heaptest.Bound(t, 6<<20, func() {
		for range 90 {
			p = tick(4321)
		}
	})
	if !named(p, "tap4321") {
		t.Error("the interface with most traffic has no name after a minute and a half")
	}
	if things, full := r.Folded(); things != n+1-defaultNames || !full {
		t.Errorf("%d are added up, all names given: %v", things, full)
	}
}

// TestFiveHundredDisks is the same for block devices.
func TestFiveHundredDisks(t *testing.T) {
	const n = 500
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("sys/block/d%d/device/", i)] = ""
	}
	b := newBench(t, files)
	f := newDisk(Defaults())
	sectors := make([]uint64, n)
	lines := func(busy int) []string {
		var all []string
		for i := range n {
			sectors[i] += uint64(i % 5)
			if i == busy {
				sectors[i] += 500_000
			}
			all = append(all, fmt.Sprintf("8 %d d%d %d 0 %d 0 %d 0 %d 0 0 0 0", i, i, sectors[i], sectors[i], sectors[i], 2*sectors[i]))
		}
		return all
	}
	total := func() (sum float64) {
		for _, n := range sectors {
			sum += float64(n)
		}
		return sum
	}
	write := func(busy int) { b.write(diskstats(lines(busy)...)) }
	write(-1)
	before, _ := seriesOf(b.tick(f))
	for second := range 100 {
		busy, last := -1, total()
		if second > 4 {
			busy = 444
		}
		write(busy)
		r := b.tick(f).(*Disk)
		points, sums := seriesOf(r)
		grown := 512 * (total() - last)
		if got := increase(before, points, "system.disk.io", "read"); got != grown {
			t.Fatalf("second %d: the counters have grown by %v, %v was read", second, got, grown)
		}
		if got := sums["sysotel.disk.io.rate write"]; math.Abs(got-2*grown) > 1e-6*grown {
			t.Fatalf("second %d: the rates add up to %v, %v was written in a second", second, got, 2*grown)
		}
		if len(r.Devices) != defaultNames+1 || len(r.Unnamed) != n-defaultNames {
			t.Fatalf("%d devices are named, %d are not", len(r.Devices)-1, len(r.Unnamed))
		}
		before = points
	}
	if _, ok := before["system.disk.io{d444,read}"]; !ok {
		t.Error("the device that does most has no name after a minute and a half")
	}
}

// TestThreeThousandMounts is the same for file systems: those at "/" and the fullest have
// names.
func TestThreeThousandMounts(t *testing.T) {
	const n = 3000
	var list strings.Builder
	list.WriteString("20 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
	for i := range n {
		fmt.Fprintf(&list, "%d 20 8:%d / /mnt/%d rw - ext4 /dev/d%d rw\n", 21+i, 16+i, i, i)
	}
	b := newBench(t, machineFiles(list.String()))
	b.host.statfs = func(path string) (capacity, error) {
		c := capacity{Size: 1000, Free: 900, Available: 800, Inodes: 10, InodesFree: 4}
		if strings.HasSuffix(path, "/mnt/2345") {
			c.Free, c.Available = 20, 10
		}
		return c, nil
	}
	f := newFilesystem(Defaults())
	for range 3 {
		r := b.tick(f).(*Filesystem)
		points, sums := seriesOf(r)
		if len(r.Mounts) != defaultNames+1 || len(r.Unnamed) != n+1-defaultNames || len(points) > 16*(defaultNames+2) {
			t.Fatalf("%d mounts are named, %d are not, there are %d points", len(r.Mounts)-1, len(r.Unnamed), len(points))
		}
		if used := sums["system.filesystem.usage used"]; used != n*100+980 || sums["system.filesystem.usage reserved"] != n*100+10 {
			t.Errorf("%v bytes are used in all, %v are reserved", used, sums["system.filesystem.usage reserved"])
		}
		for _, point := range []string{"/dev/d2345,rw,/mnt/2345", "/dev/sda1,rw,/", "others,rw,others"} {
			found := false
			for name := range points {
				found = found || strings.HasPrefix(name, "system.filesystem.usage{"+point+",")
			}
			if !found {
				t.Errorf("%s has no point", point)
			}
		}
	}
}

// TestTenThousandProcesses: with as many names only so many have series, the sums over the
// programs are true, and when the processes are gone little of them is left in memory.
func TestTenThousandProcesses(t *testing.T) {
	const n = 10_000
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 1, comm: "init"})
	p.read()
	fakes := make([]fake, n)
	pids := make([]int, n)
	for i := range fakes {
		fakes[i] = fake{pid: 10 + i, start: 100, user: 1, pages: 1, comm: fmt.Sprintf("p%d", i), kernel: true, noIO: true}
		pids[i] = 10 + i
	}
	heaptest.Bound(t, 2<<20, func() {
		p.put(fakes...)
		for range 4 {
			table := p.read()
			programs, rss := 0, uint64(0)
			for _, g := range table.Programs {
				programs += g.Processes
				rss += g.MemoryRSS
			}
			points, _ := seriesOf(table)
			if len(table.Programs) > defaultPrograms+1 || programs != n+1 || rss != n*pageSize || len(points) > 11*(defaultPrograms+1)+1 {
				t.Fatalf("%d programs with %d processes and %d bytes, %d points", len(table.Programs), programs, rss, len(points))
			}
		}
		p.remove(pids...)
		for range unnamedLinger + 2 {
			p.read()
		}
	})
	if table := p.read(); len(table.All) != 1 {
		t.Errorf("%d processes are left", len(table.All))
	}
}
