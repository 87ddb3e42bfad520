package auth

import (
	"runtime"
	"strings"
	"testing"
)

// known is a test vector of the reference implementation of argon2.
const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestPasswordHashOfAnotherProgram(t *testing.T) {
	h, err := parsePasswordHash(known)
	if err != nil {
		t.Fatal(err)
	}
	hasher := newHasher()
	for password, want := range map[string]bool{"password": true, "Password": false, "": false} {
		if got, err := hasher.fits(t.Context(), h, password); err != nil || got != want {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
}

// TestUsualCost hashes once at full cost, as the agent does.
func TestUsualCost(t *testing.T) {
	hasher := newHasher()
	h, err := hasher.hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(h.phc(), "$argon2id$v=19$m=19456,t=2,p=1$") || len(h.salt) != 16 || len(h.key) != 32 {
		t.Error(h.phc())
	}
	again, err := hasher.hash(t.Context(), password)
	if err != nil || again.same(h) {
		t.Error("two hashes are the same", err)
	}
	back, err := parsePasswordHash(h.phc())
	if err != nil || !back.same(h) {
		t.Error(err)
	}
}

// TestMemoryIsGivenBack: the memory of a hash goes back to the system.
func TestMemoryIsGivenBack(t *testing.T) {
	kept := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapIdle - m.HeapReleased + m.HeapInuse
	}
	hasher := newHasher()
	if _, err := hasher.hash(t.Context(), password); err != nil {
		t.Fatal(err)
	}
	before := kept()
	hasher.slots <- struct{}{}
	hasher.giveBack()
	if hasher.given != 0 {
		t.Error("a hash is still running")
	}
	<-hasher.slots
	hasher.giveBack()
	if after := kept(); after+16<<20 > before {
		t.Errorf("%d KiB before, %d KiB after", before>>10, after>>10)
	}
}

// badHashes are not valid password hashes.
var badHashes = []string{
	"", "$", "password", "$$$$$",
	strings.Replace(known, "argon2id", "argon2i", 1),
	strings.Replace(known, "v=19", "v=16", 1),
	strings.Replace(known, "m=65536", "m=65537", 1),
	strings.Replace(known, "m=65536", "m=4294967295", 1),
	strings.Replace(known, "m=65536", "m=7", 1),
	strings.Replace(known, "m=65536", "m=-1", 1),
	strings.Replace(known, "m=65536", "m=+65536", 1),
	strings.Replace(known, "m=65536", "m=065536", 1),
	strings.Replace(known, "m=65536", "n=65536", 1),
	strings.Replace(known, "t=2", "t=0", 1),
	strings.Replace(known, "t=2", "t=17", 1),
	strings.Replace(known, "p=1", "p=0", 1),
	strings.Replace(known, "p=1", "p=5", 1),
	strings.Replace(known, ",p=1", "", 1),
	strings.Replace(known, ",p=1", ",p=1,x=1", 1),
	strings.Replace(known, "c29tZXNhbHQ", "", 1),
	strings.Replace(known, "c29tZXNhbHQ", "c29tZXNhbHQ=", 1),
	strings.Replace(known, "c29tZXNhbHQ", "c29tZX\nNhbHQ", 1),
	strings.Replace(known, "c29tZXNhbHQ", strings.Repeat("AAAA", 100), 1),
	known[:len(known)-30],
	known + strings.Repeat("AAAA", 100),
	known + "$",
	"x" + known,
}

func TestBadPasswordHashes(t *testing.T) {
	for _, text := range badHashes {
		if _, err := parsePasswordHash(text); err == nil {
			t.Errorf("%q is taken", text)
		} else if strings.Contains(err.Error(), "CTFhFdXP") {
			t.Errorf("the error shows the hash: %v", err)
		}
	}
}

func FuzzPasswordHash(f *testing.F) {
	f.Add(known)
	for _, text := range badHashes {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePasswordHash(text)
		if err != nil {
			return
		}
		if h.phc() != text {
			t.Errorf("%q is read as %q", text, h.phc())
		}
		if h.memory > maxMemory || h.memory < 8*uint32(h.threads) || h.time < 1 || h.time > maxTime || h.threads < 1 || h.threads > maxThreads || len(h.salt) > maxSalt || len(h.key) > maxKey || len(h.key) < minKey {
			t.Errorf("%q is out of bounds", text)
		}
	})
}
