package app

import (
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/auth"
	"sysotel/agent/records"
)

// damages are what happens to one file of a data directory.
var damages = map[string]func(random *rand.Rand, path string, content []byte) error{
	"flip": func(random *rand.Rand, path string, content []byte) error {
		for range 1 + random.IntN(8) {
			if len(content) > 0 {
				content[random.IntN(len(content))] ^= 1 << random.IntN(8)
			}
		}
		return os.WriteFile(path, content, 0o600)
	},
	"truncate": func(random *rand.Rand, path string, content []byte) error {
		return os.WriteFile(path, content[:random.IntN(len(content)+1)], 0o600)
	},
	"zero": func(random *rand.Rand, path string, content []byte) error {
		at := random.IntN(len(content)+1) &^ 4095
		clear(content[at:min(at+4096, len(content))])
		return os.WriteFile(path, content, 0o600)
	},
	"rubbish": func(random *rand.Rand, path string, content []byte) error {
		at := random.IntN(len(content) + 1)
		for i := at; i < min(at+4096, len(content)); i++ {
			content[i] = byte(random.Uint32())
		}
		return os.WriteFile(path, content, 0o600)
	},
	"double": func(_ *rand.Rand, path string, content []byte) error {
		return os.WriteFile(path, slices.Concat(content, content), 0o600)
	},
	"empty":      func(_ *rand.Rand, path string, _ []byte) error { return os.Truncate(path, 0) },
	"delete":     func(_ *rand.Rand, path string, _ []byte) error { return os.Remove(path) },
	"unreadable": func(_ *rand.Rand, path string, _ []byte) error { return os.Chmod(path, 0) },
	"directory": func(_ *rand.Rand, path string, _ []byte) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(path, "below"), 0o700)
	},
}

// TestDamageSoak damages one random file after the other of a data directory. The agent
// starts each time, measures, keeps what was not in the damaged file, and opens its first
// setup to nobody. The only refusal is of a file that says it is of a newer version.
func TestDamageSoak(t *testing.T) {
	tries := 12
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		tries = 500
	}
	const password = "a quiet river at dawn"
	sound := configure(t)
	a := run(t, sound)
	<-a.history.store.Opened()
	from := a.tick()
	a.ticks(6)
	if _, err := a.accounts.auth.AddUser(t.Context(), "ada", password, auth.Admin); err != nil {
		t.Fatal(err)
	}
	last := a.tick()
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	var files []string
	if err := filepath.WalkDir(sound.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, strings.TrimPrefix(path, sound.DataDir+"/"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	kinds := make([]string, 0, len(damages))
	for kind := range damages {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	first := uint64(1) // The short form tries the same each time.
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("the first seed is %d, the files are %v", first, files)
	for seed := first; seed < first+uint64(tries); seed++ {
		random := rand.New(rand.NewPCG(seed, 0))
		c := configure(t)
		if err := os.CopyFS(c.DataDir, os.DirFS(sound.DataDir)); err != nil {
			t.Fatal(err)
		}
		file, kind := files[random.IntN(len(files))], kinds[random.IntN(len(kinds))]
		path := filepath.Join(c.DataDir, file)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := damages[kind](random, path, content); err != nil {
			t.Fatal(err)
		}
		log := &journal{changed: make(chan struct{})}
		wrong := func(format string, arguments ...any) {
			t.Helper()
			t.Errorf("seed %d, %s %s: "+format+"\n%s", append(append([]any{seed, kind, file}, arguments...), log)...)
		}
		app, err := New(Options{Config: c, Version: "test", Log: slog.New(slog.NewJSONHandler(log, nil))})
		if err != nil {
			if !strings.Contains(err.Error(), "newer") || kind != "flip" && kind != "rubbish" {
				wrong("the start is refused: %v", err)
			}
			continue
		}
		damaged := &agent{App: app, tb: t, journal: log}
		damaged.Start()
		select {
		case <-app.history.store.Opened():
		case <-time.After(patience):
			wrong("the store does not open")
		}
		damaged.tick()
		if !strings.HasPrefix(file, "store/") {
			if n, err := damaged.seconds(from, last); err != nil || n < 6 {
				wrong("%d seconds are left, %v", n, err)
			}
		}
		if app.accounts.auth.NeedsSetup() {
			wrong("the first setup is open")
		}
		if _, err := app.accounts.auth.Login(t.Context(), "ada", password); err != nil {
			wrong("a login: %v", err)
		}
		if !strings.HasPrefix(file, "records/") {
			if _, err := app.history.records.ProcessesAt(t.Context(), from.Add(2*time.Second)); err != nil {
				wrong("the processes of the past: %v", err)
			}
		}
		if _, err := app.history.records.Events(t.Context(), records.EventQuery{Start: from.Add(-time.Hour), End: time.Now().Add(time.Hour), Limit: 10}); err != nil {
			wrong("the events: %v", err)
		}
		select {
		case err := <-app.Failed():
			wrong("a component ended: %v", err)
		default:
		}
		if err := app.Stop(); err != nil {
			wrong("stop: %v", err)
		}
		if err := os.RemoveAll(c.DataDir); err != nil {
			t.Fatal(err)
		}
		runtime.GC() // It closes the files of /proc that a stopped agent held.
	}
}
