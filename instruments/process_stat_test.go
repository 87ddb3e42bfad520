package instruments

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// statTail is what follows the state of an ordinary process in /proc/PID/stat.
const statTail = " 1 4242 4242 0 -1 4194560 1103 20 3 4 712 34 50 60 20 0 7 0 88001 10485760 1536 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 9 0 0\n"

func TestParseProcessStat(t *testing.T) {
	f := func(text string, want processStat, comm string) {
		t.Helper()
		got, err := parseProcessStat([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if string(got.comm) != comm {
			t.Errorf("%q: comm %q, want %q", text, got.comm, comm)
		}
		got.comm, want.comm = nil, nil
		if got.state != want.state || got.parent != want.parent || got.flags != want.flags || got.user != want.user ||
			got.system != want.system || got.start != want.start || got.threads != want.threads ||
			got.virtual != want.virtual || got.pages != want.pages {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	want := processStat{state: 'S', parent: 1, flags: 4194560, user: 712, system: 34, start: 88001, threads: 7, virtual: 10485760, pages: 1536}
	for _, comm := range []string{"nginx", "", "tmux: server", "(sd-pam)", "a) R 1 (b", ") R 1 (", ")))", "(((", "a\nb", " ", "\xff\xfe", ") S 1 2 3 4 5 6 7 8 9"} {
		f("4242 ("+comm+") S"+statTail, want, comm)
	}
	// The text may end with the last field that is used.
	f("1 (init) R 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9 10 11", processStat{state: 'R', flags: 4194560, user: 5, system: 6, start: 9, threads: 1, virtual: 10, pages: 11}, "init")
	// Fields that cannot be what they should be are bounded, not trusted.
	f("1 (x) R 99999999999 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 99999999999 0 9 10 -11", processStat{state: 'R', parent: math.MaxInt32, user: 5, system: 6, start: 9, virtual: 10}, "x")

	bad := func(text string) {
		t.Helper()
		if s, err := parseProcessStat([]byte(text)); err == nil {
			t.Errorf("%q was taken for %+v", text, s)
		}
	}
	bad("")
	bad("4242")
	bad("4242 (nginx")
	bad("4242 nginx)")
	bad("4242 )nginx( S 1")
	bad("4242 (nginx)")
	bad("4242 (nginx) S")
	bad("4242 (nginx) S ")
	bad("4242 (nginx) S 1 2 3")
	bad("4242 (nginx)S" + statTail)
	bad("4242 (nginx) SS" + statTail)
	for _, start := range []string{"x", "-", "-1", "18446744073709551615", "88001x", ""} {
		bad("4242 (nginx) S" + strings.Replace(statTail, "88001", start, 1)) // It would have no identity.
	}
	bad("4242 (nginx) S" + strings.Replace(statTail, " 712", "", 1)[:60])
}

// TestParseOddFields: a field that is no count is unknown by itself.
func TestParseOddFields(t *testing.T) {
	for _, odd := range []string{"x", "-", "-1", "18446744073709551615", "9223372036854775808", "99999999999999999999999", "7x", ""} {
		text := "4242 (nginx) S" + statTail
		for _, field := range []string{" 1 4242", "712", "34 50", " 7 0 ", "10485760", "1536", "4194560", "1103", " 20 3"} {
			word := strings.Fields(field)[0]
			got, err := parseProcessStat([]byte(strings.Replace(text, field, strings.Replace(field, word, odd, 1), 1)))
			want := processStat{state: 'S', parent: 1, flags: 4194560, user: 712, system: 34, start: 88001, threads: 7, virtual: 10485760, pages: 1536, faults: 1103, childFaults: 20, childTicks: 110}
			switch word {
			case "1":
				want.parent = 0
			case "712":
				want.user = unknownCount
			case "34":
				want.system = unknownCount
			case "7":
				want.threads = 0
			case "10485760":
				want.virtual = 0
			case "1536":
				want.pages = 0
			case "4194560":
				want.flags = 0
			case "1103":
				want.faults = 0
			case "20":
				want.childFaults = 0
			}
			got.comm = nil
			if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
				t.Errorf("%q for %s: %+v, %v; want %+v", odd, word, got, err, want)
			}
		}
	}
	for _, pages := range []string{"4503599627370495", "1125899906842624"} { // 2^52-1 and 2^50.
		got, err := parseProcessStat([]byte("4242 (nginx) S" + strings.Replace(statTail, "1536", pages, 1)))
		if got.pages != 0 || err != nil {
			t.Errorf("%s pages, which no machine has: %+v, %v", pages, got, err)
		}
	}
	got, err := parseProcessStat([]byte("4242 (nginx) S" + strings.Replace(statTail, "10485760", "9223372036854775807", 1)))
	if got.virtual != 0 || err != nil {
		t.Errorf("2^63-1 bytes of virtual memory: %+v, %v", got, err)
	}
}

func FuzzParseProcessStat(f *testing.F) {
	f.Add([]byte("4242 (nginx) S"+statTail), "bash")
	f.Add([]byte("1 () R"), ") R 1 (")
	f.Add([]byte("(((((())))) \n"), "a\nb c")
	f.Fuzz(func(t *testing.T, text []byte, comm string) {
		_, _ = parseProcessStat(text) // Must not panic, whatever it is.
		s, err := parseProcessStat([]byte("7 (" + comm + ") D" + statTail))
		if err != nil || string(s.comm) != comm || s.state != 'D' || s.user != 712 || s.pages != 1536 {
			t.Fatalf("a process called %q is read as %+v, %v", comm, s, err)
		}
	})
}

func TestParseProcessIO(t *testing.T) {
	for text, want := range map[string]moved{
		"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 5\n": {4096, 8192},
		"read_bytes: 1\n":                                           {1, unknownCount},
		"read_bytes: x\nwrite_bytes: 1\n":                           {unknownCount, 1},
		"read_bytes: 1\nwrite_bytes: -1\n":                          {1, unknownCount},
		"read_bytes: 1\nwrite_bytes: 18446744073709543424\n":        {1, unknownCount},
		"read_bytes: 1\nwrite_bytes: 99999999999999999999999\n":     {1, unknownCount},
		"read_bytes: 1\nnonsense\n\n: \nwrite_bytes: 2\nread_bytes": {1, 2},
	} {
		if got, err := parseProcessIO([]byte(text)); got != want || err != nil {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "read_bytes: x\nwrite_bytes: -1\n", "read_bytes 1\nwrite_bytes 1\n"} {
		if got, err := parseProcessIO([]byte(bad)); err == nil {
			t.Errorf("%q was taken for %v", bad, got)
		}
	}
}

func FuzzParseProcessIO(f *testing.F) {
	f.Add([]byte("read_bytes: 1\nwrite_bytes: 2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseProcessIO(text)
		if unread := (moved{unknownCount, unknownCount}); (err != nil) != (m == unread) {
			t.Fatalf("%v with %v", err, m)
		}
		for _, n := range []uint64{m.read, m.write} {
			if n > math.MaxInt64 && n != unknownCount {
				t.Fatalf("%v", m)
			}
		}
	})
}

func TestStateWord(t *testing.T) {
	for state, want := range map[byte]string{
		'R': "running", 'S': "sleeping", 'D': "blocked", 'I': "idle", 'P': "idle", 'T': "stopped",
		't': "stopped", 'Z': "zombie", 'W': "paging", 'X': "unknown", '?': "unknown",
	} {
		if got := stateWord(state); got != want {
			t.Errorf("%c is %q, want %q", state, got, want)
		}
	}
}
