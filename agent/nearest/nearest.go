// Package nearest finds the name that a misspelt one is meant to be.
package nearest

import (
	"cmp"
	"slices"
	"strings"
)

// maxLength is the maximum length in bytes of a name that is compared, which bounds the
// time of a comparison.
const maxLength = 256

// Name returns the known name with the smallest distance from a misspelt one, "" if
// none is close: a quarter of its length, or 2.
func Name(name string, known []string) string {
	if len(name) > maxLength {
		return ""
	}
	best, least := "", max(2, len(name)/4)+1
	for _, one := range known {
		if (len(one)-len(name)) >= least || (len(name)-len(one)) >= least {
			continue // The distance is at least the difference of the lengths.
		}
		if d := distance(name, one, least); d < least {
			best, least = one, d
		}
	}
	return best
}

// DidYouMean is a hint for a misspelt name, such as "; did you mean run?", or ""
// if no known name is close.
func DidYouMean(name string, known []string) string {
	if near := Name(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// Sort returns the known names by their distance from a misspelt one.
func Sort(name string, known []string) []string {
	name = name[:min(len(name), maxLength)]
	near := slices.Clone(known)
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(distance(name, a, maxLength), distance(name, b, maxLength)) })
	return near
}

// distance is the Levenshtein distance, ignoring case and the choice of - or _; if it is
// at least enough, that or more.
func distance(a, b string, enough int) int {
	a, b = fold(a), fold(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
			least = min(least, row[j+1])
		}
		if least >= enough {
			return least // It only grows.
		}
	}
	return row[len(b)]
}

func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }
