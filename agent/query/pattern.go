package query

import (
	"fmt"
	"math"
	"regexp/syntax"
	"strings"
)

// Regular expressions are bounded before they are compiled: their parser, their
// programs and matching them take time and memory that the length of the text does
// not show.
const (
	// maxProgram is the maximum number of instructions of the programs of all regular
	// expressions in a query: 100 bytes each, while they match. A name of a host in a
	// list takes as many as it has characters.
	maxProgram = 100_000
	// maxLoose is that of programs in which something repeats. They are run from the
	// start for every character, so 20,000 take up to a millisecond for a short text.
	maxLoose = 20_000
	// maxClasses bounds character classes, whose ranges can take a megabyte and a
	// millisecond each while they are parsed, and maxUnicode those such as \pL.
	maxClasses, maxUnicode = 256, 64
)

// patternSize is an upper bound of what a regular expression takes.
type patternSize struct {
	// program is the number of instructions, loose that of a program in which
	// something repeats.
	program, loose int
	// classes and unicode are the numbers of character classes in its text.
	classes, unicode int
}

func (s patternSize) plus(o patternSize) patternSize {
	return patternSize{s.program + o.program, s.loose + o.loose, s.classes + o.classes, s.unicode + o.unicode}
}

// steps is the time that it takes to match a text of a length. A program without
// repetition looks at each instruction once at most; others do for every character.
func (s patternSize) steps(length float64) float64 {
	return float64(s.program-s.loose) + float64(s.loose)*(length+1) + length
}

// CheckPattern returns an error if a regular expression is invalid or takes too much
// to compile or to match. It compiles nothing. Use it wherever a caller's regular
// expression is compiled.
func CheckPattern(pattern string) error {
	size, err := sizeOfPattern(pattern)
	if err == nil {
		err = size.check()
	}
	return err
}

// check returns an error if it is too much. The error does not repeat the text.
func (s patternSize) check() error {
	switch {
	case s.unicode > maxUnicode:
		return fmt.Errorf("has %d Unicode classes such as \\pL, at most %d are allowed", s.unicode, maxUnicode)
	case s.classes > maxClasses:
		return fmt.Errorf("has %d character classes, at most %d are allowed", s.classes, maxClasses)
	case s.loose > maxLoose:
		return fmt.Errorf("takes %d instructions and has repetitions such as * or ?, at most %d are allowed with these", s.loose, maxLoose)
	case s.program > maxProgram:
		return fmt.Errorf("takes %d instructions, at most %d are allowed", s.program, maxProgram)
	}
	return nil
}

// sizeOfPattern returns the size of a regular expression, or why it is invalid.
func sizeOfPattern(pattern string) (patternSize, error) {
	s := patternSize{
		classes: strings.Count(pattern, "["),
		unicode: strings.Count(pattern, `\p`) + strings.Count(pattern, `\P`),
	}
	if s.classes > maxClasses || s.unicode > maxUnicode {
		return s, s.check()
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
	if err != nil {
		return s, fmt.Errorf("is invalid: %w", err)
	}
	s.program = int(min(instructions(parsed), math.MaxInt32))
	if repeats(parsed) {
		s.loose = s.program
	}
	return s, nil
}

// instructions is an upper bound of the number of instructions.
func instructions(re *syntax.Regexp) float64 {
	sum := 0.0
	for _, sub := range re.Sub {
		sum += instructions(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		return float64(len(re.Rune))
	case syntax.OpCapture, syntax.OpStar:
		return sum + 2
	case syntax.OpPlus, syntax.OpQuest:
		return sum + 1
	case syntax.OpAlternate:
		return sum + float64(len(re.Sub))
	case syntax.OpRepeat: // x{2,5} is compiled as xx(x(x(x)?)?)?, x{2,} as xx+.
		return (sum+1)*float64(max(re.Min, re.Max, 1)) + 2
	}
	return sum + 1
}

// repeats reports whether texts of different lengths match a part of the expression.
func repeats(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		return true
	case syntax.OpRepeat:
		if re.Min != re.Max {
			return true
		}
	}
	for _, sub := range re.Sub {
		if repeats(sub) {
			return true
		}
	}
	return false
}
