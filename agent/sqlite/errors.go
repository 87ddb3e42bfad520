package sqlite

import (
	"errors"
	"strings"

	"modernc.org/sqlite"
)

// ErrDamaged is the error of a file that SQLite reads and that is not right.
var ErrDamaged = errors.New("the file is damaged")

// Codes of SQLite's errors, without their details; https://sqlite.org/rescode.html.
const (
	codeError      = 1
	codeInternal   = 2
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeNoDatabase = 26
	// codeShortRead is an I/O error with its detail: the file ends too early.
	codeShortRead = codeIO | 2<<8
)

// Damaged tells whether an error means that the file is broken.
func Damaged(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch code := e.Code(); {
		case code&0xff == codeCorrupt, code&0xff == codeNoDatabase, code&0xff == codeInternal, code == codeShortRead:
			return true
		}
		// The texts of the schema are in the file, and so may be damaged as well.
		return strings.Contains(e.Error(), "malformed") || strings.Contains(e.Error(), "no such table") || strings.Contains(e.Error(), "no such column")
	}
	return errors.Is(err, ErrDamaged)
}

// DamagedAtOpen tells the same of an error of opening a file. It could be opened for
// writing and the statements are right: what SQLite refuses then, such as a format
// that it does not know, is damage in the header.
func DamagedAtOpen(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && (e.Code() == codeError || e.Code() == codeReadOnly) {
		return true
	}
	return Damaged(err)
}

// Full tells whether an error means that nothing more fits on the disk.
func Full(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == codeFull
}
