package sqlite

import (
	"errors"
	"strings"

	"modernc.org/sqlite"
)

// ErrDamaged is the error of a file that SQLite can read but that is inconsistent.
var ErrDamaged = errors.New("the file is damaged")

// Primary result codes of SQLite; https://sqlite.org/rescode.html.
const (
	codeError      = 1
	codeInternal   = 2
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeNoDatabase = 26
	// codeShortRead is an extended code: the file ends too early.
	codeShortRead = codeIO | 2<<8
)

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

// DamagedAtOpen is Damaged for an error while a file is opened. The file is writable
// and the statements are valid, so that what SQLite refuses, such as an unknown
// format, is damage in the header.
func DamagedAtOpen(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && (e.Code() == codeError || e.Code() == codeReadOnly) {
		return true
	}
	return Damaged(err)
}

// Full reports whether an error means that the disk is full.
func Full(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == codeFull
}
