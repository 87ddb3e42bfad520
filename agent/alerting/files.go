package alerting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// filesEvery is how often the rule files are looked after.
const filesEvery = 10 * time.Second

// WatchFiles notices until ctx ends that a rule file cannot be read any more, or can be
// again: Health says so, and a reload would fail, or lose its rules. Meanwhile they go on
// as they were read.
func (a *Alerting) WatchFiles(ctx context.Context) error {
	every := time.NewTicker(filesEvery)
	defer every.Stop()
	looked := make(chan []error, 1) // A file on a dead server holds one goroutine, not this.
	looking := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case wrong := <-looked:
			looking = false
			a.noteFiles(wrong)
		case <-every.C:
			if looking {
				continue
			}
			looking = true
			files := a.ruleFiles()
			go func() { looked <- unreadable(files) }()
		}
	}
}

// ruleFiles are the files that have rules.
func (a *Alerting) ruleFiles() (files []string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, r := range slices.Concat(a.rules, a.disabled) {
		if r.source == FromFile {
			files = append(files, r.file)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// unreadable returns the errors of the files that cannot be read.
func unreadable(files []string) (wrong []error) {
	for _, file := range files {
		f, err := os.Open(file) //nolint:gosec // It is of the configuration.
		if err == nil {
			_, err = f.Read(make([]byte, 1))
			err = errors.Join(err, f.Close())
		}
		if err != nil && !errors.Is(err, io.EOF) {
			wrong = append(wrong, err)
		}
	}
	return wrong
}

// noteFiles keeps the errors of rule files for Health, and logs what changes.
func (a *Alerting) noteFiles(wrong []error) {
	texts := make([]string, len(wrong))
	for i, err := range wrong {
		var at *fs.PathError
		texts[i] = err.Error()
		if errors.As(err, &at) {
			texts[i] = at.Path + ": " + at.Err.Error()
		}
	}
	a.mu.Lock()
	before := a.status.files
	a.status.files = texts
	a.mu.Unlock()
	for _, text := range texts {
		if !slices.Contains(before, text) {
			a.log.Warn("a rule file cannot be read any more; its rules go on as they were read", "err", text)
		}
	}
	if len(before) > 0 && len(texts) == 0 {
		a.log.Info("every rule file that is in use can be read again, or was left out by a reload")
	}
}

// filesTrouble describes the rule files that cannot be read, "" if all can be. The caller
// holds mu.
func (a *Alerting) filesTrouble() string {
	if len(a.status.files) == 0 {
		return ""
	}
	return fmt.Sprintf("%d rule files cannot be read any more, and their rules go on as they were read: %s; a reload needs them", len(a.status.files), strings.Join(a.status.files[:min(len(a.status.files), 3)], "; "))
}
