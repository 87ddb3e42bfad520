// Package regex bounds what a regular expression takes. A caller's expression is
// measured before it is compiled: the parser, the program and matching take time and
// memory that the length of the text does not show.
package regex

import (
	"fmt"
	"math"
	"regexp/syntax"
	"strings"
	"sync"
)

const (
	// maxText is the maximum length in bytes.
	maxText = 256 << 10
	// maxProgram is the maximum number of instructions, of one expression or of all
	// those of a query. A name of a host in a
	// list takes as many as it has characters.
	maxProgram = 100_000
	// maxLoose is that of programs in which something repeats. They are run from the
	// start for every character, so 20,000 take up to a millisecond for a short text.
	maxLoose = 20_000
	// maxClasses bounds character classes, whose ranges can take a megabyte and a
	// millisecond each while they are parsed, and maxUnicode those such as \pL.
	maxClasses, maxUnicode = 256, 64
	// maxSigns bounds the signs such as . and \d between two |. What alternatives have in
	// common at their beginning is taken out sign by sign while they are parsed, and what
	// is left copied each time.
	maxSigns = 256
)

// Size is an upper bound of what one or several regular expressions take.
type Size struct {
	// Program is the number of instructions, and loose that of the programs in which
	// something repeats.
	Program, loose int
	// classes and unicode are the numbers of character classes in the text.
	classes, unicode int
	// text is the length of the longest, signs the number of signs in an alternative.
	text, signs int
}

// Plus is the size of the expressions of both.
func (s Size) Plus(o Size) Size {
	return Size{s.Program + o.Program, s.loose + o.loose, s.classes + o.classes, s.unicode + o.unicode, max(s.text, o.text), max(s.signs, o.signs)}
}

// Bytes is the memory of the programs, while they match.
func (s Size) Bytes() float64 { return 100 * float64(s.Program) }

// Steps is the number of instructions that it takes to match a text of a length. A
// program without repetition looks at each instruction once at most; others do for
// every character.
func (s Size) Steps(length float64) float64 {
	return float64(s.Program-s.loose) + float64(s.loose)*(length+1) + length
}

// Heavy reports whether compiling and matching can take long.
func (s Size) Heavy() bool { return s.loose > maxLoose/20 || s.Program > maxProgram/2 }

// Check returns an error if it is too much. The error does not repeat the text; it
// continues a sentence that names it.
func (s Size) Check() error {
	switch {
	case s.text > maxText:
		return fmt.Errorf("has %d bytes, at most %d are allowed", s.text, maxText)
	case s.signs > maxSigns:
		return fmt.Errorf("has %d signs such as . or \\d in one alternative, at most %d are allowed", s.signs, maxSigns)
	case s.unicode > maxUnicode:
		return fmt.Errorf("has %d Unicode classes such as \\pL, at most %d are allowed", s.unicode, maxUnicode)
	case s.classes > maxClasses:
		return fmt.Errorf("has %d character classes, at most %d are allowed", s.classes, maxClasses)
	case s.loose > maxLoose:
		return fmt.Errorf("takes %d instructions and has repetitions such as * or ?, at most %d are allowed with these", s.loose, maxLoose)
	case s.Program > maxProgram:
		return fmt.Errorf("takes %d instructions, at most %d are allowed", s.Program, maxProgram)
	}
	return nil
}

// Check returns an error if an expression is invalid or too much, as [Size.Check]
// does. Use it wherever a caller's expression is compiled.
func Check(pattern string) error {
	size, err := Measure(pattern)
	if err == nil {
		err = size.Check()
	}
	return err
}

// parsing lets one expression be parsed at a time: its tree takes 100 times its length,
// and nobody has a turn yet when it is measured.
var parsing sync.Mutex

// Measure returns the size of an expression, or why it is invalid or cannot be
// measured. It compiles nothing.
func Measure(pattern string) (Size, error) {
	s := Size{
		text: len(pattern), signs: signs(pattern),
		classes: strings.Count(pattern, "["),
		unicode: strings.Count(pattern, `\p`) + strings.Count(pattern, `\P`),
	}
	if err := s.Check(); err != nil {
		return s, err
	}
	parsing.Lock()
	defer parsing.Unlock()
	parsed, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
	if err != nil {
		return s, fmt.Errorf("is invalid: %w", err)
	}
	s.Program = int(min(instructions(parsed), math.MaxInt32))
	if repeats(parsed) {
		s.loose = s.Program
	}
	return s, nil
}

// signs is the largest number of signs that are no literals in an alternative.
func signs(pattern string) (most int) {
	count := 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '|':
			count = 0
		case '.', '^', '$', '[':
			count++
		case '\\':
			if i++; i < len(pattern) && (pattern[i]|0x20 >= 'a' && pattern[i]|0x20 <= 'z') {
				count++
			}
		}
		most = max(most, count)
	}
	return most
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
	case syntax.OpCharClass: // The table of its ranges takes memory as well.
		return 1 + float64(len(re.Rune)/8)
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
