package template

import (
	"errors"
	"fmt"

	"github.com/grafana/regexp"

	"sysotel/agent/regex"
)

const (
	// maxPattern is the maximum size of a regular expression in bytes, maxProgram that of
	// what it is compiled to: x{1000} is six bytes and a thousand instructions.
	maxPattern, maxProgram = 1024, 2000
	// compileCost is the cost of an instruction of the program.
	compileCost = 16
	// searchCost is how many instructions are applied to a byte for 1.
	searchCost = 8
)

// compile compiles a regular expression and spends for a search in a text.
func (b *Budget) compile(pattern, text string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("the regular expression has %d bytes; at most %d are allowed", len(pattern), maxPattern)
	}
	size, err := regex.Measure(pattern)
	if err != nil {
		return nil, fmt.Errorf("the regular expression %w", err)
	}
	n := size.Program
	if n > maxProgram {
		return nil, errors.New("the regular expression is too large once its repetitions are written out")
	}
	if err := b.Spend(compileCost*n + len(text)*n/searchCost); err != nil {
		return nil, err
	}
	return regexp.Compile(pattern)
}
