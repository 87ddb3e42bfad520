package sqlite

import (
	"errors"
	"strings"
	"syscall"

	"modernc.org/sqlite"
)

// ErrDamaged is the error of a file that SQLite can read but that is inconsistent.
var ErrDamaged = errors.New("the file is damaged")

// Primary result codes of SQLite; https://sqlite.org/rescode.html.
const (
	codeError      = 1
	codeInternal   = 2
	codePermission = 3
	codeNoMemory   = 7
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCannotOpen = 14
	codeConstraint = 19
	codeMismatch   = 20
	codeNoDatabase = 26
	// Extended codes: the file ends too early; there is no space for the index of the
	// log.
	codeShortRead      = codeIO | 2<<8
	codeNoSharedMemory = codeIO | 19<<8
)

// codeOf returns the extended result code of an error, 0 if it is not one of SQLite.
func codeOf(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// constraint reports whether a row does not fit the schema.
func constraint(err error) bool {
	code := codeOf(err) & 0xff
	return code == codeConstraint || code == codeMismatch
}

// Damaged reports whether an error means that the file is damaged.
func Damaged(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch code := e.Code(); {
		case code&0xff == codeCorrupt, code&0xff == codeNoDatabase, code&0xff == codeInternal, code == codeShortRead:
			return true
		}
		// The schema is in the file and may be damaged too.
		return strings.Contains(e.Error(), "malformed") || strings.Contains(e.Error(), "no such table") || strings.Contains(e.Error(), "no such column")
	}
	return errors.Is(err, ErrDamaged)
}

// damagedAtOpen is Damaged for an error while a file is opened. The file is writable
// and the statements are valid, so that what SQLite refuses, such as an unknown
// format, is damage in the header.
func damagedAtOpen(err error) bool {
	if code := codeOf(err); code == codeError || code == codeReadOnly {
		return true
	}
	return errors.Is(err, syscall.EISDIR) || Damaged(err)
}

// Full reports whether an error means that the disk is full.
func Full(err error) bool {
	return codeOf(err)&0xff == codeFull
}
