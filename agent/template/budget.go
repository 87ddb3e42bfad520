// Package template bounds templates. text/template cannot be interrupted and its
// functions do not count what they make: a text of fifty bytes can ask for a gigabyte
// or never end. Here every step of an execution spends from a budget, and the steps
// that make text spend before they make it.
//
// Read budget.go first, then bound.go, which puts the spending into a template, and
// text.go for templates of alert rules.
package template

import (
	"fmt"
	"sync"
)

const (
	// MaxSource is the maximum size of a template in bytes.
	MaxSource = 16 << 10
	// Work is the budget of one execution, about 10 ms: a byte made costs 1, a step 64.
	// The longest texts of real rules spend some thousand.
	Work = 1 << 20
	// maxString is the maximum size of any text while a template is executed.
	maxString = 64 << 10
	// stepCost is the cost of a step, callCost that of calling another template, whose
	// calls may be nested.
	stepCost, callCost = 64, 1024
)

// ErrExhausted is the error of a template that exceeds its budget.
var ErrExhausted error = boundError("the template does too much: it loops too often, or makes too much text on the way")

// boundError is the error of a bound.
type boundError string

func (e boundError) Error() string { return string(e) }

// Budget is what an execution may still spend. It is safe for concurrent use.
type Budget struct {
	mu   sync.Mutex
	left int
}

// NewBudget returns a budget.
func NewBudget(work int) *Budget { return &Budget{left: work} }

// Refill sets what is left.
func (b *Budget) Refill(work int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = work
}

// Left is what is left; 0 once it is exhausted.
func (b *Budget) Left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, b.left)
}

// Spend takes n from the budget. Once it is exhausted, every call fails.
func (b *Budget) Spend(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 || b.left < n {
		b.left = 0
		return ErrExhausted
	}
	b.left -= n
	return nil
}

// tooLong is the error of a text that exceeds maxString.
func tooLong(n int) error {
	return boundError(fmt.Sprintf("the template makes a text of %d bytes; at most %d are allowed", n, maxString))
}
