package query

import (
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/strutil"

	"sysotel/agent/regex"
)

// The maximum numbers of tokens in an expression, and of those that can nest: the
// parser and everything that walks an expression take a few hundred bytes for each.
const (
	maxTokens  = 20_000
	maxNesting = 2_000
)

// scanned is what the tokens of an expression say.
type scanned struct {
	tokens   int
	patterns regex.Size
}

// heavy reports whether parsing the expression or selecting its series can take long.
func (s scanned) heavy() bool {
	return s.patterns.Heavy()
}

// bytes is about what the parsed expression and its regular expressions take.
func (s scanned) bytes(text string) float64 {
	return float64(2*len(text)+200*s.tokens) + s.patterns.Bytes()
}

// scan checks an expression before it is parsed: its length, the number of its
// tokens, and the regular expressions of its matchers, which the parser compiles.
func (l Limits) scan(text string) (scanned, error) {
	var s scanned
	if len(text) > l.Length {
		return s, badData("the expression has %d bytes, at most %d are allowed", len(text), l.Length)
	}
	if !utf8.ValidString(text) {
		return s, badData("the expression is not valid UTF-8")
	}
	lexer := parser.Lex(text)
	nesting, braces, pattern := 0, 0, false
	for {
		var item parser.Item
		lexer.NextItem(&item)
		if item.Typ == parser.EOF || item.Typ == parser.ERROR { // The parser has a better error.
			return s, nil
		}
		if s.tokens++; s.tokens > maxTokens {
			return s, badData("the expression has more than %d names, numbers, texts and signs", maxTokens)
		}
		switch {
		case item.Typ == parser.LEFT_BRACE:
			braces++
		case item.Typ == parser.RIGHT_BRACE:
			braces--
		case braces == 0 && (item.Typ == parser.LEFT_PAREN || item.Typ == parser.LEFT_BRACKET || item.Typ.IsOperator()):
			if nesting++; nesting > maxNesting {
				return s, badData("the expression is nested too deep: it has more than %d operators and parentheses", maxNesting)
			}
		case pattern && item.Typ == parser.STRING:
			text, err := strutil.Unquote(item.Val)
			if err != nil {
				return s, nil //nolint:nilerr // The parser has a better error.
			}
			if err := s.pattern(text); err != nil {
				return s, badData("the regular expression at byte %d %w", item.Pos, err)
			}
		}
		pattern = item.Typ == parser.EQL_REGEX || item.Typ == parser.NEQ_REGEX
	}
}

// pattern adds a regular expression. It returns an error if it is too much, by
// itself or together with the others; the parser says if it is invalid.
func (s *scanned) pattern(text string) error {
	size, err := regex.Measure(text)
	if err != nil {
		return size.Check()
	}
	s.patterns = s.patterns.Plus(size)
	return s.patterns.Check()
}
