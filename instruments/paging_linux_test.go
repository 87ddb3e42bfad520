package instruments

import (
	"slices"
	"strings"
	"testing"
)

const swapsText = `Filename				Type		Size		Used		Priority
/dev/sda3                               partition	4194304		1048576		-2
/swap\040file\040(deleted)              file		1024		1024		-3
`

func TestParseSwaps(t *testing.T) {
	got, err := parseSwaps([]byte(swapsText))
	want := []SwapDevice{{Name: "/dev/sda3", Used: 1 << 30, Free: 3 << 30}, {Name: "/swap file (deleted)", Used: 1 << 20, Free: 0}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := parseSwaps([]byte("Filename Type Size Used Priority\n")); err != nil || got != nil {
		t.Errorf("no devices: %+v, %v", got, err)
	}
	for _, text := range []string{"x\n/dev/sda3 partition 5\n", "x\n/dev/sda3 partition five 1 -2\n", "x\n/dev/sda3 partition 5 -1 -2\n"} {
		if got, err := parseSwaps([]byte(text)); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func FuzzParseSwaps(f *testing.F) {
	f.Add([]byte(swapsText))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseSwaps(text) })
}

func TestParseVMStat(t *testing.T) {
	text := "nr_free_pages 5\npgpgin 100\npgpgout 200\npswpin 3\npswpout 4\npgfault 500\npgmajfault 6\npgfault_x junk\noom_killer junk\noom_kill 7\n"
	got, err := parseVMStat([]byte(text))
	if want := (vmstat{3, 4, 500, 6, 7, true}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	got, err = parseVMStat([]byte("pgfault 500\npgmajfault 6\n"))
	if want := (vmstat{0, 0, 500, 6, 0, false}); err != nil || got != want {
		t.Errorf("a kernel without swap: got %+v, %v; want %+v", got, err, want)
	}
	for _, c := range []struct{ text, want string }{
		{"", "no lines pgfault"},
		{"pswpin 3\n", "no lines pgfault"},
		{"pgfault many\n", `"many" is not a number`},
	} {
		if _, err := parseVMStat([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzParseVMStat(f *testing.F) {
	f.Add([]byte("pswpin 3\npswpout 4\npgfault 500\npgmajfault 6\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseVMStat(text) })
}
