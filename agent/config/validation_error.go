package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// ValidationError is one thing that is wrong with the configuration.
type ValidationError struct {
	// Path is the option, "sampling.interval", or the unknown flag or variable.
	Path string
	// Value is the rejected value as it may be shown; "" if there is none.
	Value string
	// Rule is what is allowed.
	Rule string
	// Where is the line of the file, the variable or the flag that set the value;
	// "" for a default.
	Where string
}

// String returns the error as one line for the user.
func (e ValidationError) String() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	if e.Value != "" {
		b.WriteString(e.Value + " is not allowed: ")
	}
	b.WriteString(e.Rule)
	if e.Where != "" {
		b.WriteString(" (" + e.Where + ")")
	}
	return b.String()
}

// longestShown bounds a value, in characters: a certificate pasted in the wrong
// place would bury the rule.
const longestShown = 80

// show formats a value on one line, quoted if it is empty or contains spaces.
func show(value any) string {
	s := fmt.Sprint(value)
	if runes := []rune(s); len(runes) > longestShown {
		s = string(runes[:longestShown]) + "…"
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// showName formats an unknown key, flag or variable.
func showName(name string) string {
	if name == "" {
		return `""`
	}
	return strings.Trim(strconv.Quote(name), `"`)
}
