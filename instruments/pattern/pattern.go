// Package pattern matches names of devices, mount points and the like with what an
// operator wrote: sd*, type:nfs*.
package pattern

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// List chooses devices, mount points and the like by name.
type List []pattern

// pattern is a glob; with a key it is compared with that key's value only.
type pattern struct{ key, glob string }

// Parse reads patterns such as "sd*" and "type:nfs*"; keys are the words
// that may stand before the colon.
func Parse(texts []string, keys ...string) (List, error) {
	patterns := make(List, 0, len(texts))
	for _, text := range texts {
		p, err := parse(text, keys)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", text, err)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// parse takes whatever stands before the first colon for a key, so that
// a mistyped key is an error and not a pattern that never matches. A device
// with a colon in its name is written device:NAME.
func parse(text string, keys []string) (pattern, error) {
	key, glob, ok := strings.Cut(text, ":")
	if !ok {
		key, glob = "", text
	}
	if ok && len(keys) == 0 {
		return pattern{}, errors.New("nothing can stand before a colon here")
	}
	if ok && !slices.Contains(keys, key) {
		return pattern{}, fmt.Errorf("%q cannot stand before the colon, only %s can; a name with a colon in it is written %s:%s",
			key, strings.Join(keys, ", "), keys[0], text)
	}
	if glob == "" {
		return pattern{}, errors.New("is empty and would match nothing; * matches everything")
	}
	return pattern{key, glob}, nil
}

// Check reports what is wrong with one pattern, as Parse does.
func Check(text string, keys []string) error {
	_, err := parse(text, keys)
	return err
}

// Match reports whether any pattern matches. The arguments are pairs of a key and
// its value: Match("device", "sda1", "type", "ext4"). A pattern without a key is
// compared with every value.
func (p List) Match(pairs ...string) bool {
	for _, one := range p {
		for i := 0; i+1 < len(pairs); i += 2 {
			if (one.key == "" || one.key == pairs[i]) && Glob(one.glob, pairs[i+1]) {
				return true
			}
		}
	}
	return false
}

// Filter is the operator's choice among a collector's devices.
type Filter struct{ Include, Exclude List }

// Keep reports whether a device is measured. Exclude always wins. Include, where
// there is one, means exactly what it matches; without it the collector's own rule
// decides, which the caller passes as byDefault. The pairs are those of Match.
func (f Filter) Keep(byDefault bool, pairs ...string) bool {
	switch {
	case f.Exclude.Match(pairs...):
		return false
	case len(f.Include) > 0:
		return f.Include.Match(pairs...)
	default:
		return byDefault
	}
}

// Glob matches * with any run of characters, "/" included, and ? with one. On a
// mismatch it goes back only to the newest *, which is enough and keeps the
// time bounded by len(pattern) times len(name).
func Glob(pattern, name string) bool {
	p, n := 0, 0
	star, resume := -1, 0
	for n < len(name) {
		_, size := utf8.DecodeRuneInString(name[n:])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			n += size
		case p < len(pattern) && strings.HasPrefix(pattern[p:], name[n:n+size]):
			p += size
			n += size
		case star >= 0:
			_, size = utf8.DecodeRuneInString(name[resume:])
			resume += size
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
