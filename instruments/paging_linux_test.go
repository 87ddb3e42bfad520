package instruments

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

const swapsText = `Filename				Type		Size		Used		Priority
/dev/sda3                               partition	4194304		1048576		-2
/swap\040file\040(deleted)              file		1024		1024		-3
`

func TestParseSwaps(t *testing.T) {
	sda := SwapDevice{Name: "/dev/sda3", Used: 1 << 30, Free: 3 << 30}
	for _, c := range []struct {
		text    string
		want    []SwapDevice
		missing string
	}{
		{swapsText, []SwapDevice{sda, {Name: "/swap file (deleted)", Used: 1 << 20, Free: 0}}, "[]"},
		{"Filename Type Size Used Priority\n", nil, "[]"},
		{swapsText[:strings.Index(swapsText, "/swap")] + "/dev/sdb partition 5\n", []SwapDevice{sda}, `[{/proc/swaps: "/dev/sdb" has no size and use false}]`},
		{"x\n/dev/sda3 partition 4194304 1048576 -2\n/dev/sda3 partition 5 1 -2\n", []SwapDevice{sda}, `[{/proc/swaps: "/dev/sda3" is listed twice false}]`},
		{"x\n/dev/sdb partition 5 -1 -2\n/dev/sda3 partition 4194304 1048576 -2\n", []SwapDevice{{"/dev/sdb", unknownCount, unknownCount}, sda},
			`[{/proc/swaps: "/dev/sdb" "5" and "-1" are not a size and a use that can be false}]`},
	} {
		var odd misread
		if got := parseSwaps([]byte(c.text), &odd); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %+v, want %+v", c.text, got, c.want)
		}
		if got := fmt.Sprint(odd.Missing()); got != c.missing {
			t.Errorf("%q: missing %s, want %s", c.text, got, c.missing)
		}
	}
	if got := parseSwaps([]byte("x\n"+strings.Repeat("/dev/sda3 partition 5 1 -2\n", 5)), &misread{}); len(got) != 1 {
		t.Errorf("%d devices of one name", len(got))
	}
}

func FuzzParseSwaps(f *testing.F) {
	f.Add([]byte(swapsText))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := parseSwaps(text, &misread{}); len(got) > maxSwaps {
			t.Errorf("%d devices", len(got))
		}
	})
}

// TestSwapNames: the name of a swap file is hostile.
func TestSwapNames(t *testing.T) {
	var odd misread
	devices := parseSwaps([]byte("Filename Type Size Used Priority\n/a\\040b\\012\\033[31m file 10 1 -2\n/c\\134d file 10 1 -3\n"), &odd)
	if len(devices) != 2 || devices[0].Name != `/a b\n\x1b[31m` || devices[1].Name != `/c\d` {
		t.Errorf("got %+v", devices)
	}
}

// TestPagingFilesApart: what one file lacks costs no number of the others.
func TestPagingFilesApart(t *testing.T) {
	files := map[string]string{
		"proc/meminfo": "MemTotal: 2000000 kB\nSwapTotal: 5242880 kB\nSwapFree: 4194304 kB\n", "proc/swaps": swapsText[:strings.Index(swapsText, "/swap")],
		"proc/vmstat": "pswpin 1\npswpout 2\npgfault 30\npgmajfault 4\n",
	}
	numbers := map[string]map[string]float64{
		"proc/swaps":   {"system.paging.usage{/dev/sda3,used}": 1 << 30},
		"proc/vmstat":  {"system.paging.operations{page_in,major}": 1, "system.paging.faults{minor}": 26},
		"proc/meminfo": {},
	}
	for gone := range files {
		for _, text := range []string{"", "nonsense\n"} {
			b := newBench(t, files)
			if b.remove(gone); text != "" {
				b.write(map[string]string{gone: text})
			}
			want := map[string]float64{"sysotel.swap.limit{}": 5 << 30, "sysotel.swap.usage{}": 1 << 30}
			if gone == "proc/meminfo" { // The list of devices says it, too.
				want["sysotel.swap.limit{}"] = 4 << 30
			}
			for name, points := range numbers {
				for point, v := range points {
					if want[point] = v; name == gone {
						want[point] = unknown
					}
				}
			}
			wantPoints(t, b.tick(newPaging()), want)
		}
	}
	b := newBench(t, nil)
	if _, err := b.try(newPaging()); err == nil {
		t.Error("a machine without any of the files has a reading")
	}
}

// TestSwapOfContainers: what lxcfs shows of swap is right as far as it can be, and
// costs no other number.
func TestSwapOfContainers(t *testing.T) {
	const memory = "MemTotal: 2000000 kB\nMemFree: 500000 kB\nMemAvailable: 1000000 kB\nBuffers: 0 kB\nCached: 0 kB\n"
	const none = "Filename Type Size Used Priority\n"
	for _, c := range []struct {
		what, swap, swaps  string
		limit, used, share string
	}{
		{"lxc/lxcfs#695", "SwapTotal: 0 kB\nSwapFree: 18446744073709346016 kB\n", none, "0", "0", ""},
		{"lxc/lxcfs#412", "SwapTotal: 1048576 kB\nSwapFree: 18014398509481984 kB\n", none, "1073741824", "0", "0"},
		{"more free than there is", "SwapTotal: 1000 kB\nSwapFree: 1001 kB\n", none, "1024000", "0", "0"},
		{"lxc/lxcfs#170", "SwapTotal: 9007199246672720 kB\nSwapFree: 9007199246672720 kB\n", none, "0", "0", ""},
		{"a petabyte without a device", "SwapTotal: 1000000000000 kB\nSwapFree: 1000000000000 kB\n", none, "0", "0", ""},
		{"a total that cannot be read", "SwapTotal: x kB\nSwapFree: 1 kB\n", none + "/dev/sda2 partition 1000 250 -2\n", "1024000", "256000", "0.25"},
		{"a container's own limit", "SwapTotal: 4000 kB\nSwapFree: 1000 kB\n", none, "4096000", "3072000", "0.75"},
		{"nothing is said of what is free", "SwapTotal: 4000 kB\n", none, "4096000", "", ""},
		{"nothing is said", "", none, "0", "0", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			tree := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				writeFile(t, tree+"/proc/meminfo", memory+c.swap)
				writeFile(t, tree+"/proc/swaps", c.swaps)
				f := newFixture(t, tree, Defaults())
				f.only([]string{"memory", "paging"})
				f.open()
				points := map[string]string{}
				for _, line := range f.tick() {
					i := strings.LastIndexByte(line, ' ')
					points[line[:i]] = line[i+1:]
				}
				for name, want := range map[string]string{
					"system.memory.usage{state=used}": "1024000000", "system.memory.utilization{state=used}": "0.5",
					"sysotel.swap.limit{}": c.limit, "sysotel.swap.usage{}": c.used, "sysotel.swap.utilization{}": c.share,
				} {
					if points[name] != want {
						t.Errorf("%s is %q, want %q", name, points[name], want)
					}
				}
			})
		})
	}
}
