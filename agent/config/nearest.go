package config

import (
	"cmp"
	"slices"
	"strings"
)

// DidYouMean is a hint for a misspelt name, such as "; did you mean run?", or ""
// if no known name is close.
func DidYouMean(name string, known []string) string {
	if near := byNearness(name, known); len(near) > 0 && distance(name, near[0]) <= max(2, len(name)/4) {
		return "; did you mean " + near[0] + "?"
	}
	return ""
}

// byNearness sorts the known names by distance from a misspelt one.
func byNearness(name string, known []string) []string {
	near := slices.Clone(known)
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return near
}

// distance is the Levenshtein distance, ignoring case and the choice of - or _.
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
