package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	// Path is the option, "sampling.interval", or the unknown flag or variable.
	Path string
	// Value is what was given, as it can be shown; "" where there is no one value.
	Value string
	// Rule is what is allowed.
	Rule string
	// Where is the line of the file, the variable or the flag; "" for a default.
	Where string
}

// String is the line that a person reads.
func (m Mistake) String() string {
	var b strings.Builder
	if m.Path != "" {
		b.WriteString(m.Path + ": ")
	}
	if m.Value != "" {
		b.WriteString(m.Value + " is not allowed: ")
	}
	b.WriteString(m.Rule)
	if m.Where != "" {
		b.WriteString(" (" + m.Where + ")")
	}
	return b.String()
}

// longestShown bounds a value in a mistake: a whole certificate pasted in the
// wrong place would bury the rule.
const longestShown = 80

// show prints a value on one line, in quotes where its ends would be unclear.
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

// showName prints a key, a flag or a variable that nobody knows.
func showName(name string) string {
	if name == "" {
		return `""`
	}
	return strings.Trim(strconv.Quote(name), `"`)
}

// didYouMean is a hint for a misspelt name, "" where no known name is near.
func didYouMean(name string, known []string) string {
	if near := byNearness(name, known); len(near) > 0 && distance(name, near[0]) <= max(2, len(name)/4) {
		return "; did you mean " + near[0] + "?"
	}
	return ""
}

// byNearness sorts the known names by their distance from a misspelt one.
func byNearness(name string, known []string) []string {
	near := slices.Clone(known)
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return near
}

// distance counts the letters to insert, delete or replace between two names
// (Levenshtein); case and the choice of - or _ are no difference.
func distance(a, b string) int {
	a, b = fold(a), fold(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }
