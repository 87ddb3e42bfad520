// Package sanitize makes hostile text safe to show. Names of processes, files,
// devices and users, and what clients and servers send, can hold terminal escape
// sequences, line breaks, characters that turn the direction of writing, and
// bytes that are not UTF-8.
//
//	EscapeControl       names that must stay distinct: labels of devices and mount points
//	ReplaceControl      names and command lines for a terminal, a page or JSON
//	ReplaceUnprintable  one line on a terminal or in a log
//	OneLine             text from anyone in a message to people
//	ValidUTF8           JSON, protobuf and attribute values, where the reader escapes
//	Truncate            bounds length only; combine with one of the above
package sanitize

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// replacement stands for what was taken out.
const replacement = "\uFFFD"

// EscapeControl writes unprintable characters and invalid UTF-8 as Go escapes:
// \x1b, \u202e, \xff. Two names that differ in such bytes stay different, which
// makes it fit for label values. Text without them is returned as it is, its
// backslashes and quotes included.
func EscapeControl(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, unprintable) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// ReplaceControl replaces by U+FFFD every byte that is not UTF-8 and every
// character that controls how the rest is shown: control characters, line and
// paragraph separators, and those that change the direction of writing, by which
// "gpj.exe" would read as "exe.jpg". The result is safe on a terminal.
func ReplaceControl(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return strings.Map(func(r rune) rune {
				if steers(r) {
					return utf8.RuneError
				}
				return r
			}, s)
		}
	}
	return s
}

// ReplaceUnprintable replaces by '?' every character that is not printable,
// spaces other than U+0020 included, and each run of bytes that is not UTF-8. The
// result is one line that is safe on a terminal and in a log.
func ReplaceUnprintable(s string) string {
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// OneLine makes a text one line of at most so many characters, "…" added where it
// is cut: white space becomes a space, trimmed at the ends; other unprintable
// characters and invalid UTF-8 become U+FFFD. No line can be forged with it, but
// it does not escape the markup of HTML, Slack or the like.
func OneLine(s string, most int) string {
	runes := []rune(ValidUTF8(s))
	if len(runes) > most {
		runes = append(runes[:most], '…')
	}
	for i, r := range runes {
		switch {
		case unicode.IsSpace(r):
			runes[i] = ' '
		case unprintable(r):
			runes[i] = utf8.RuneError
		}
	}
	return strings.TrimSpace(string(runes))
}

// ValidUTF8 replaces each run of bytes that is not UTF-8 by U+FFFD. Control
// characters stay: the result is safe where they are escaped, as in JSON, not on
// a terminal.
func ValidUTF8(s string) string { return strings.ToValidUTF8(s, replacement) }

// Truncate cuts a text to at most so many bytes, between two characters. The
// result does not keep a longer s in memory.
func Truncate(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
		if utf8.RuneStart(s[len(s)-i]) {
			if !utf8.FullRuneInString(s[len(s)-i:]) {
				s = s[:len(s)-i]
			}
			break
		}
	}
	return strings.Clone(s)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// steers reports whether a character controls how the text around it is shown.
func steers(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}
