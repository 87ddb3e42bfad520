package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// quoted is by how much quoting and escaping lengthen a text at most.
const quoted = 6

// Funcs are the functions that a bounded template needs: its guards, and those
// functions of text/template, of Prometheus and of the Alertmanager whose result can be
// much larger than what they are given, each with the same result.
func (b *Budget) Funcs() map[string]any {
	funcs := b.guards()
	funcs["print"] = paid(b, 1, fmt.Sprint)
	funcs["println"] = paid(b, 1, fmt.Sprintln)
	funcs["html"] = paid(b, quoted, template.HTMLEscaper)
	funcs["js"] = paid(b, quoted, template.JSEscaper)
	funcs["urlquery"] = paid(b, quoted, template.URLQueryEscaper)
	funcs["printf"] = b.printf
	funcs["reReplaceAll"] = b.replaceAll
	funcs["match"] = b.match
	return funcs
}

// MessageFuncs are those functions and the Alertmanager's own.
func (b *Budget) MessageFuncs() map[string]any {
	funcs := b.Funcs()
	funcs["join"] = func(separator string, all []string) (string, error) {
		if err := b.spendOn(1, all); err != nil {
			return "", err
		}
		if err := b.Spend(len(all) * len(separator)); err != nil {
			return "", err
		}
		return strings.Join(all, separator), nil
	}
	funcs["toJson"] = func(v any) (string, error) {
		if err := b.spendOn(quoted, v); err != nil {
			return "", err
		}
		text, err := json.Marshal(v)
		return string(text), err
	}
	return funcs
}

// paid returns a function that spends before it makes a text.
func paid(b *Budget, times int, make func(...any) string) func(...any) (string, error) {
	return func(all ...any) (string, error) {
		if err := b.spendOn(times, all...); err != nil {
			return "", err
		}
		return make(all...), nil
	}
}

// spendOn spends for printing values, some times.
func (b *Budget) spendOn(times int, values ...any) error {
	left := b.Left()
	n := size(left, values...)
	return b.Spend(n * times)
}

// printf is fmt.Sprintf, whose widths may ask for a million spaces.
func (b *Budget) printf(format string, all ...any) (string, error) {
	cost, number, in, stars := len(format), 0, false, 0
	verbs := strings.Count(format, "%")
	for _, r := range format {
		switch {
		case r == '%':
			in = true
		case in && '0' <= r && r <= '9':
			number = min(10*number+int(r-'0'), Work)
			continue
		case r == '*':
			stars++
		}
		cost, number = cost+number, 0
	}
	cost += number
	for _, one := range all {
		if n, err := strconv.Atoi(fmt.Sprint(asNumber(one))); err == nil {
			cost += stars * min(max(n, -n, 0), Work)
		}
	}
	times := quoted
	if strings.Contains(format, "[") { // An argument may be used by every verb.
		times *= max(1, verbs)
	}
	if err := b.Spend(min(cost, Work+1)); err != nil {
		return "", err
	}
	if err := b.spendOn(times, all...); err != nil {
		return "", err
	}
	return fmt.Sprintf(format, all...), nil
}

// asNumber is v if it is a number, else nil.
func asNumber(v any) any {
	switch v.(type) {
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return v
	}
	return nil
}

// replaceAll is regexp.ReplaceAllString. It runs twice: what the replacement makes is
// known only when the matches are.
func (b *Budget) replaceAll(pattern, replacement, text string) (string, error) {
	re, err := b.compile(pattern, text)
	if err != nil {
		return "", err
	}
	start, failed := time.Now(), error(nil)
	groups := strings.Count(replacement, "$")
	stop := errors.New("stop")
	func() {
		defer func() {
			if r := recover(); r != nil && r != stop { //nolint:errorlint // It is that very value.
				panic(r)
			}
		}()
		before := time.Duration(0)
		re.ReplaceAllStringFunc(text, func(found string) string {
			// Between two matches the text may have been searched to its end.
			passed := time.Since(start)
			cost := len(replacement) + groups*len(found) + 4*int((passed-before)/time.Microsecond)
			before = passed
			if failed = b.Spend(cost); failed != nil {
				panic(stop)
			}
			return ""
		})
	}()
	if failed != nil {
		return "", failed
	}
	return re.ReplaceAllString(text, replacement), nil
}

// match is regexp.MatchString.
func (b *Budget) match(pattern, text string) (bool, error) {
	re, err := b.compile(pattern, text)
	if err != nil {
		return false, err
	}
	return re.MatchString(text), nil
}
