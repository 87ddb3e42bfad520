package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// logFile writes every notice as a line of JSON.
type logFile struct {
	config  LogConfig
	options Options
	file    *lumberjack.Logger
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
	return &logFile{c, o, &lumberjack.Logger{Filename: path, MaxSize: 10, MaxBackups: 5, Compress: true}}, nil
}

func (l *logFile) send(_ context.Context, m message) error {
	// Somebody may have put a link there since.
	if _, err := logPath(l.config.File, l.options.DataDir, l.options.Config.LogDirs); err != nil {
		return err
	}
	var lines []byte
	for _, n := range m.notices {
		line, err := json.Marshal(logLine{n.At, n.headline(), n})
		if err != nil {
			return &refusal{err: err, final: true}
		}
		lines = append(append(lines, line...), '\n')
	}
	_, err := l.file.Write(lines)
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
