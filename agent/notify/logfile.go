package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// logFile writes every notice as a line of JSON.
type logFile struct {
	config  LogConfig
	options Options
	file    *lumberjack.Logger

	mu sync.Mutex
	// seen are the ids at the end of the file as it was found. An agent that was
	// killed may have written a line without noting it.
	seen map[string]bool
	torn bool // whether that end is half a line
}

// logLine is a line of the file.
type logLine struct {
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
	Notice
}

func newLogFile(c LogConfig, o Options) (*logFile, error) {
	path, err := logPath(c.File, o.DataDir, o.Config.LogDirs)
	if err != nil {
		return nil, err
	}
	if filepath.Dir(path) == filepath.Join(o.DataDir, logDir) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
	}
	l := &logFile{config: c, options: o, file: &lumberjack.Logger{Filename: path, MaxSize: 10, MaxBackups: 5, Compress: true}}
	return l, l.lookBack(path)
}

// lookBackBytes is how much of the end is read: some twenty messages.
const lookBackBytes = 64 << 10

// lookBack reads the end of the file.
func (l *logFile) lookBack(path string) error {
	l.seen = map[string]bool{}
	f, err := os.Open(path) //nolint:gosec // logPath has judged it.
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", path)
	}
	end, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-lookBackBytes), lookBackBytes))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(end) {
		var n struct{ ID string }
		if json.Unmarshal(line, &n) == nil && n.ID != "" {
			l.seen[n.ID] = true
		}
	}
	l.torn = len(end) > 0 && end[len(end)-1] != '\n'
	return nil
}

func (l *logFile) send(_ context.Context, m message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Somebody may have put a link there since.
	if _, err := logPath(l.config.File, l.options.DataDir, l.options.Config.LogDirs); err != nil {
		return err
	}
	var lines []byte
	if l.torn {
		lines = append(lines, '\n')
	}
	for _, n := range m.notices {
		if l.seen[n.ID] && !m.test {
			continue
		}
		line, err := json.Marshal(logLine{n.At, n.headline(), n})
		if err != nil {
			return &refusal{err: err, final: true}
		}
		lines = append(append(lines, line...), '\n')
	}
	if len(lines) == 0 {
		return nil
	}
	// A write that fails may have written a part.
	n, err := l.file.Write(lines)
	l.torn = err != nil && (n > 0 || l.torn)
	return err
}

func (l *logFile) close() error { return l.file.Close() }

// logDir is the directory for log channels in the data directory.
const logDir = "log"

// logPath is where a log channel writes. It is in log of the data directory or in
// a directory that the configuration names, whatever links lead there: alerts
// carry names of anybody's choice, which must not get into a file that somebody runs.
func logPath(file, dataDir string, dirs []string) (string, error) {
	own := filepath.Join(dataDir, logDir)
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(own, path)
	}
	path = filepath.Clean(path)
	allowed := append([]string{own}, dirs...)
	if !slices.ContainsFunc(allowed, func(dir string) bool { return isIn(path, dir) }) {
		return "", fmt.Errorf("must be in one of %s; alerting.log_directories names more", strings.Join(allowed, ", "))
	}
	real, err := resolve(path)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(allowed, func(dir string) bool {
		realDir, err := resolve(dir)
		return err == nil && isIn(real, realDir)
	}) {
		return "", fmt.Errorf("leads to %s through a link, which is in none of %s", real, strings.Join(allowed, ", "))
	}
	return path, nil
}

// isIn tells whether a path is below a directory; both are absolute and clean.
func isIn(path, dir string) bool {
	rest, err := filepath.Rel(dir, path)
	return err == nil && rest != "." && filepath.IsLocal(rest)
}

// resolve follows the links in a path, of which the end may not be there yet.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return "", fmt.Errorf("%s is a link that leads nowhere", path)
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path, nil
	}
	if dir, err = resolve(dir); err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}
