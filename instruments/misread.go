package instruments

import (
	"errors"
	"fmt"
	"io/fs"
)

// maxMisread bounds what one reading names: a broken file has thousands of lines.
const maxMisread = 16

// misread is what of a reading could not be read: one field, line or device of a
// file. It is unknown by itself, and the rest of the file stands; only a file of which
// nothing can be read is an error of its collector. A reading that embeds it is Partial.
// The zero value is a reading that is whole.
type misread struct {
	parts []Missing
	more  int
}

// note names a part once. The subject is the file and what of it, "/proc/stat: cpu3", and
// stays the same while the part cannot be read; the reason may quote what is there.
func (m *misread) note(subject, reason string) { m.add(Missing{Subject: subject, Reason: reason}) }

// hide names a part that is not visible from where the agent runs, as note does.
func (m *misread) hide(subject, reason string) {
	m.add(Missing{Subject: subject, Reason: reason, Hidden: true})
}

// lost names a file that could not be read. One that is not there is of a kernel
// without it, which is no fault.
func (m *misread) lost(file string, err error) {
	reason := err.Error()
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		reason = path.Op + ": " + path.Err.Error()
	}
	m.add(Missing{Subject: file, Reason: reason, Hidden: errors.Is(err, fs.ErrNotExist)})
}

func (m *misread) add(part Missing) {
	for i := range m.parts {
		if m.parts[i].Subject == part.Subject {
			return
		}
	}
	if len(m.parts) >= maxMisread {
		m.more++
		return
	}
	m.parts = append(m.parts, part)
}

// noteAll names what another reader found.
func (m *misread) noteAll(other misread) {
	for _, p := range other.parts {
		m.add(p)
	}
	m.more += other.more
}

// Missing implements Partial.
func (m *misread) Missing() []Missing {
	if m.more == 0 {
		return m.parts
	}
	return append(m.parts[:len(m.parts):len(m.parts)], Missing{Subject: "more", Reason: fmt.Sprintf("%d more parts cannot be read", m.more)})
}

// quoted is text of a file as a sentence can hold it: short and without control characters.
func quoted(text []byte) string {
	const longest = 48
	if len(text) > longest {
		return fmt.Sprintf("%q...", text[:longest])
	}
	return fmt.Sprintf("%q", text)
}

// notNumber is the reason where a number was expected.
func notNumber(text []byte) string {
	if len(text) == 0 {
		return "there is no number"
	}
	return quoted(text) + " is not a number that can be"
}

// unknownCount is a whole number that could not be read, or that stands for none:
// the kernel and some file systems write -1 as 2^64-1. Observer.Uint leaves out
// everything above 2^63-1, which no machine counts to.
const unknownCount = 1<<64 - 1
