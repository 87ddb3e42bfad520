package instruments

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

const meminfoText = `MemTotal:       16000000 kB
MemFree:         4000000 kB
MemAvailable:   10000000 kB
Buffers:          200000 kB
Cached:          5000000 kB
SwapCached:            7 kB
Active:          3000000 kB
Inactive:        1000000 kB
Active(file):     800000 kB
Inactive(file):   600000 kB
SwapTotal:       4194304 kB
SwapFree:        3145728 kB
SReclaimable:     400000 kB
SUnreclaim:       150000 kB
HugePages_Total:       5
`

func TestParseMeminfo(t *testing.T) {
	const none = unknownCount
	for _, c := range []struct {
		text    string
		want    meminfo
		missing string
	}{
		{meminfoText, meminfo{
			total: 16000000 << 10, free: 4000000 << 10, available: 10000000 << 10, buffers: 200000 << 10, cached: 5000000 << 10,
			inactive: 1000000 << 10, activeFile: 800000 << 10, inactiveFile: 600000 << 10, slabReclaimable: 400000 << 10,
			slabUnreclaimable: 150000 << 10, swapTotal: 4194304 << 10, swapFree: 3145728 << 10, hugeTotal: 5, hugeFree: none, hugeSize: none, hugeAll: none,
		}, "[]"},
		{"MemTotal: 1000 kB\nMemFree: many kB\nBuffers:\nCached: 18446744073709551615 kB\nInactive: 1001 kB\nSReclaimable: -1 kB\nSwapTotal: x\n", meminfo{
			1000 << 10, none, none, none, none, none, none, none, none, none, none, none, none, none, none, none, 0, 0, nil, misread{}, misread{}, misread{},
		}, `[{/proc/meminfo: MemFree "many" is not a number that can be false} {/proc/meminfo: Buffers there is no number false} ` +
			`{/proc/meminfo: Cached "18446744073709551615" is not a number that can be false} {/proc/meminfo: SReclaimable "-1" is not a number that can be false} ` +
			`{/proc/meminfo: Inactive is more than MemTotal false}]`},
		{"MemTotal: 0 kB\nMemFree: 5 kB\n", meminfo{
			none, 5 << 10, none, none, none, none, none, none, none, none, none, none, none, none, none, none, 0, 0, nil, misread{}, misread{}, misread{},
		}, "[{/proc/meminfo: MemTotal is 0 false}]"},
	} {
		got, err := parseMeminfo([]byte(c.text), nil)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if missing := fmt.Sprint(got.odd.Missing()); missing != c.missing {
			t.Errorf("%q: missing %s, want %s", c.text, missing, c.missing)
		}
		got.odd, got.oddSwap, got.oddFields = misread{}, misread{}, misread{}
		got.fields, got.hugeReserved, got.hugeSurplus = nil, 0, 0
		if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%q: got %+v, want %+v", c.text, *got, c.want)
		}
	}
	for _, text := range []string{"", "MemTotal:", "MemTotal: many kB\n", "junk\n"} {
		if _, err := parseMeminfo([]byte(text), nil); err == nil || !strings.Contains(err.Error(), "no line can be read") {
			t.Errorf("%q: error %v, want that no line can be read", text, err)
		}
	}
}

// TestMemoryThatIsNotUsed: free huge pages and what ZFS gives back are not used by
// programs; where they are another machine's, or nonsense, they change nothing.
func TestMemoryThatIsNotUsed(t *testing.T) {
	const memory = "MemTotal: 16000000 kB\nMemFree: 2000000 kB\nMemAvailable: 4000000 kB\nBuffers: 0 kB\nCached: 1000000 kB\n"
	const huge, gib, kb = "HugePages_Total: 1000\nHugePages_Free: %s\nHugePages_Rsvd: 0\nHugepagesize: 2048 kB\n", 1 << 30, 1024
	arc := func(size, least string) string {
		return "13 1 0x01 123 33456 1 2\nname type data\nhits 4 5\nc_min 4 " + least + "\nc_max 4 8000000000\nsize 4 " + size + "\ncompressed_size 4 9\n"
	}
	for _, c := range []struct {
		what, meminfo, arc string
		sizes              map[string]string
		mounts             string
		available, used    uint64
		hugeFree, arcSize  uint64
		missing            string
	}{
		{what: "neither", available: 4000000 * kb, used: 12000000 * kb},
		{what: "huge pages", meminfo: fmt.Sprintf(huge, "500"), available: 4000000 * kb, used: 12000000*kb - 500<<21, hugeFree: 500 << 21},
		{what: "huge pages of one size", meminfo: fmt.Sprintf(huge, "500") + "Hugetlb: 2048000 kB\n", sizes: map[string]string{"2048": "1"}, available: 4000000 * kb, used: 12000000*kb - 500<<21, hugeFree: 500 << 21},
		{what: "huge pages of two sizes", meminfo: fmt.Sprintf(huge, "500") + "Hugetlb: 5193728 kB\n", sizes: map[string]string{"2048": "500", "1048576": "3"},
			available: 4000000 * kb, used: 12000000*kb - 500<<21 - 3<<30, hugeFree: 500<<21 + 3<<30},
		{what: "one size cannot be read", meminfo: fmt.Sprintf(huge, "500") + "Hugetlb: 5193728 kB\n", sizes: map[string]string{"2048": "500", "1048576": "x"},
			available: 4000000 * kb, used: 12000000*kb - 500<<21, hugeFree: 500 << 21,
			missing: `{/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages parse sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages: "x" is not a number false}`},
		{what: "more huge pages than memory", meminfo: fmt.Sprintf(huge, "50000"), available: 4000000 * kb, used: 12000000 * kb,
			missing: "{huge pages not visible from here: /proc/meminfo shows less memory in use than the machine has free huge pages true}"},
		{what: "huge pages that cannot be", meminfo: fmt.Sprintf(huge, "18446744073709551615"), available: 4000000 * kb, used: 12000000 * kb,
			missing: `{/proc/meminfo: HugePages_Free "18446744073709551615" is not a number that can be false}`},
		{what: "ZFS", arc: arc("5368709120", "1073741824"), available: 4000000*kb + 4*gib, used: 12000000*kb - 4*gib, arcSize: 5 * gib},
		{what: "ZFS at its least", arc: arc("1000", "1073741824"), available: 4000000 * kb, used: 12000000 * kb, arcSize: 1000},
		{what: "ZFS and huge pages", meminfo: fmt.Sprintf(huge, "500"), arc: arc("5368709120", "1073741824"), available: 4000000*kb + 4*gib, used: 12000000*kb - 4*gib - 500<<21, arcSize: 5 * gib, hugeFree: 500 << 21},
		{what: "ZFS of the machine, memory of a container", arc: arc("5368709120", "1073741824"), mounts: "40 20 0:50 /proc/meminfo ROOT/proc/meminfo rw - fuse.lxcfs lxcfs rw\n",
			available: 4000000 * kb, used: 12000000 * kb, missing: "{ZFS's cache not visible from here: it is the machine's, and /proc/meminfo is a container's true}"},
		{what: "ZFS larger than what is in use", arc: arc("15000000000", "1073741824"), available: 4000000 * kb, used: 12000000 * kb,
			missing: "{ZFS's cache not visible from here: it is the machine's, and /proc/meminfo is a container's true}"},
		{what: "ZFS with nonsense", arc: arc("18446744073709551615", "1"), available: 4000000 * kb, used: 12000000 * kb,
			missing: "{/proc/spl/kstat/zfs/arcstats size and c_min cannot be read false}"},
	} {
		t.Run(c.what, func(t *testing.T) {
			tree := t.TempDir()
			writeFile(t, tree+"/proc/meminfo", memory+c.meminfo)
			if c.arc != "" {
				writeFile(t, tree+"/"+arcStats, c.arc)
			}
			for size, free := range c.sizes {
				writeFile(t, tree+"/sys/kernel/mm/hugepages/hugepages-"+size+"kB/free_hugepages", free+"\n")
			}
			h := NewHost(tree)
			h.own = &Host{root: tree + "/own"}
			writeFile(t, tree+"/own/proc/self/mountinfo", strings.ReplaceAll(c.mounts, "ROOT", tree))
			r, err := newMemory().Read(t.Context(), h, Tick{Seq: 1, Interval: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			m := r.(*Memory)
			if m.Available != c.available || m.Used != c.used || m.HugeFree != c.hugeFree || m.ARC != c.arcSize {
				t.Errorf("available %d, used %d, huge pages %d, ARC %d; want %d, %d, %d, %d", m.Available, m.Used, m.HugeFree, m.ARC, c.available, c.used, c.hugeFree, c.arcSize)
			}
			if got := strings.Trim(fmt.Sprint(m.Missing()), "[]"); got != c.missing {
				t.Errorf("missing %s, want %s", got, c.missing)
			}
		})
	}
}

// TestMemoryOfTwoViews: what is available of the machine says nothing of a container's total.
func TestMemoryOfTwoViews(t *testing.T) {
	tree := t.TempDir()
	writeFile(t, tree+"/proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 200000 kB\nMemAvailable: 9000000 kB\nBuffers: 1 kB\nCached: 1 kB\n")
	r, err := newMemory().Read(t.Context(), NewHost(tree), Tick{Seq: 1, Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if m := r.(*Memory); m.Used != unknownCount || m.Available != unknownCount || !math.IsNaN(m.Utilization) || m.Free != 200000<<10 {
		t.Errorf("got %+v", m)
	}
}

// TestMemoryWithoutZones: WSL 1 has neither MemAvailable nor /proc/zoneinfo.
func TestMemoryWithoutZones(t *testing.T) {
	tree := t.TempDir()
	writeFile(t, tree+"/proc/meminfo", `MemTotal:       16662256 kB
MemFree:         7480184 kB
Buffers:           34032 kB
Cached:           188576 kB
SwapCached:            0 kB
Active:           167556 kB
Inactive:         157876 kB
Active(file):      64452 kB
Inactive(file):   140436 kB
SwapTotal:      50331648 kB
SwapFree:       50041012 kB
`)
	r, err := newMemory().Read(t.Context(), NewHost(tree), Tick{Seq: 1, Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	const available = (7480184 + 64452 + 140436) << 10
	if m := r.(*Memory); m.Available != available || m.Used != 16662256<<10-available || len(m.Missing()) > 0 {
		t.Errorf("got %+v", m)
	}
}

func FuzzParseMeminfo(f *testing.F) {
	f.Add([]byte(meminfoText))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMeminfo(text, nil)
		if err == nil && m.total != unknownCount && (m.total == 0 || m.total%1024 != 0 || m.free != unknownCount && m.free > m.total) {
			t.Errorf("got %+v", m)
		}
	})
}

// TestMemoryTrapEstimateUnderflow: when memory is nearly used up, less is free
// than the watermark. gopsutil's estimate wraps around to 16 EiB then.
func TestMemoryTrapEstimateUnderflow(t *testing.T) {
	m := meminfo{total: 1 << 30, free: 1 << 20, activeFile: 1 << 20, inactiveFile: 1 << 20, slabReclaimable: unknownCount}
	if got := m.estimateAvailable(64 << 20); got != 0 {
		t.Errorf("available is %d, want 0", got)
	}
	m = meminfo{total: 1 << 30, free: 100 << 20, activeFile: 30 << 20, inactiveFile: 30 << 20, slabReclaimable: 8 << 20}
	// 100 - 10 free, 60 - 10 of files, 8 - 4 of slabs.
	if got := m.estimateAvailable(10 << 20); got != 144<<20 {
		t.Errorf("available is %d MiB, want 144", got>>20)
	}
	m = meminfo{free: 5, cached: 7}
	if got := m.estimateAvailable(1); got != 12 {
		t.Errorf("without lists of files available is %d, want 12", got)
	}
}

func TestLowWatermark(t *testing.T) {
	text := "Node 0, zone      DMA\n  pages free     3000\n        min      20\n        low      25\n        high     30\n  lowest 99\nNode 0, zone Normal\n        low      1000\n"
	if got := lowWatermark([]byte(text)); got != 1025 {
		t.Errorf("low watermarks add up to %d pages, want 1025", got)
	}
	if got := lowWatermark(nil); got != 0 {
		t.Errorf("no zones have %d pages", got)
	}
}

func FuzzLowWatermark(f *testing.F) {
	f.Add([]byte("  low 5\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { lowWatermark(text) })
}
