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
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// LogConfig is a file.
type LogConfig struct {
	File string `yaml:"file" help:"File, rotated at 10 MiB; five old files are kept. Relative paths are in log of the data directory."`
}

var _ channelKind = LogConfig{}

func (c LogConfig) isSet() bool { return c != LogConfig{} }

func (c LogConfig) validate(s site, report reportFunc) {
	if _, err := logPath(c.File, s.dataDir, s.logDirs); err != nil {
		report("file", c.File, err.Error())
	}
}

func (c LogConfig) newSender(s site) (sender, error) { return newLogFile(c, s) }

func (c Config) validateLogDirs(report reportFunc) {
	for i, dir := range c.LogDirs {
		if !filepath.IsAbs(dir) || filepath.Dir(dir) == dir {
			report(fmt.Sprintf("log_directories[%d]", i), dir, "must be an absolute path of a directory other than the root")
		}
	}
}

// logFile appends every notice as a line of JSON.
type logFile struct {
	config LogConfig
	site   site
	file   *lumberjack.Logger

	mu sync.Mutex
	// seen are the ids at the end of the file when it was opened. An agent that was
	// killed may have written a line without recording that.
	seen map[string]bool
	torn bool // whether the file ends in the middle of a line
}

// logLine is a line of the file.
type logLine struct {
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
	Notice
}

func newLogFile(c LogConfig, s site) (*logFile, error) {
	path, err := logPath(c.File, s.dataDir, s.logDirs)
	if err != nil {
		return nil, err
	}
	l := &logFile{config: c, site: s, file: &lumberjack.Logger{Filename: path, MaxSize: 10, MaxBackups: 5, Compress: true}}
	return l, l.readEnd(path)
}

// makeDir creates the directory for logs in the data directory, whose disk may have
// been unwritable so far.
func (l *logFile) makeDir() error {
	if dir := filepath.Dir(l.file.Filename); dir == filepath.Join(l.site.dataDir, logDir) {
		return os.MkdirAll(dir, 0o700)
	}
	return nil
}

// endBytes is how much of the end is read, about twenty messages.
const endBytes = 64 << 10

// readEnd reads the end of the file.
func (l *logFile) readEnd(path string) error {
	l.seen = map[string]bool{}
	f, err := os.Open(path)
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
		return fmt.Errorf("%s is not a regular file", path)
	}
	end, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-endBytes), endBytes))
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
	// A link may have been placed there since.
	if _, err := logPath(l.config.File, l.site.dataDir, l.site.logDirs); err != nil {
		return err
	}
	if err := l.makeDir(); err != nil {
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
	// A failed write may be partial.
	n, err := l.file.Write(lines)
	l.torn = err != nil && (n > 0 || l.torn)
	return err
}

// immediate implements immediateSender.
func (*logFile) immediate() {}

func (l *logFile) close() error { return l.file.Close() }

// logDir is the directory for log channels in the data directory.
const logDir = "log"

// logPath is the file that a log channel writes to. Links resolved, it must be in
// log of the data directory or in one of dirs: alerts carry names that anyone can
// choose, which must not get into a file that is executed, such as a crontab.
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
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
		return path, nil // Opening the file will fail with a better message.
	}
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(allowed, func(dir string) bool {
		realDir, err := resolve(dir)
		return err == nil && isIn(real, realDir)
	}) {
		return "", fmt.Errorf("is a link to %s, which is in none of %s", real, strings.Join(allowed, ", "))
	}
	return path, nil
}

// isIn reports whether path is below dir; both are absolute and clean.
func isIn(path, dir string) bool {
	rest, err := filepath.Rel(dir, path)
	return err == nil && rest != "." && filepath.IsLocal(rest)
}

// resolve resolves the links in a path whose end need not exist yet.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return "", fmt.Errorf("%s is a dangling link", path)
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
