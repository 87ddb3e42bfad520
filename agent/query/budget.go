package query

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// How much memory evaluations take, all together, does not depend on who asks for
// what: a number of light ones run at once, and those that turn out to be heavy
// start over and run one after the other.
const (
	// lightMemory is the memory that a light evaluation may take, for charts of about
	// 100 series; lightWork is the number of samples it may touch, about 7 ms: so long one
	// that asks for little waits for one that runs.
	lightMemory = 6 << 20
	lightWork   = 7e5
	// heavyMemory is the memory that a heavy evaluation may take, and resultMemory
	// the part of it for the result: 700,000 points.
	heavyMemory  = 24 << 20
	resultMemory = heavyMemory / 2
	// ruleMemory is the memory that a rule may take.
	ruleMemory = 12 << 20
	// heldMemory is the memory of the results that are being sent to clients, of which
	// one has resultMemory at most.
	heldMemory = 16 << 20
)

// errHeavy ends a light evaluation that turns out to be heavy.
var errHeavy = errors.New("the evaluation is heavy")

// budget is the memory that one evaluation may take, in bytes, as far as it can be
// known. It may be used by several goroutines.
type budget struct {
	limit float64
	// light is set if a heavier budget can be had.
	light bool

	mu   sync.Mutex
	used float64
}

// ErrMemory is the error of an evaluation that exceeds its memory.
var ErrMemory = errors.New("the query takes too much memory")

// take counts memory that stays in use until it is returned with take(−bytes).
func (b *budget) take(bytes float64) error {
	b.mu.Lock()
	b.used += bytes
	exceeded := b.used > b.limit
	b.mu.Unlock()
	switch {
	case !exceeded:
		return nil
	case b.light:
		return errHeavy
	}
	return &Error{Type: Execution, Err: fmt.Errorf("%w: at most %s are allowed; use narrower matchers, a shorter range or a longer step", ErrMemory, mebibytes(b.limit))}
}

// left is the memory that may still be taken.
func (b *budget) left() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit - b.used
}

// mebibytes formats a number of bytes.
func mebibytes(bytes float64) string { return fmt.Sprintf("%.3g MiB", bytes/(1<<20)) }

// within waits for a turn and calls evaluate with its budget, and again in a heavy
// turn if that is not enough or if the evaluation is known to be heavy. The deadline
// includes the time of waiting.
func (q *Querier) within(ctx context.Context, heavy bool, evaluate func(context.Context, *budget) error) error {
	ctx, cancel := context.WithTimeout(ctx, q.config.Limits.Timeout)
	defer cancel()
	if !heavy {
		done, err := q.light.take(ctx)
		if err != nil {
			return err
		}
		err = evaluate(ctx, &budget{limit: min(lightMemory, q.config.Limits.Memory), light: true})
		done()
		if !errors.Is(err, errHeavy) {
			return withType(err)
		}
	}
	done, err := q.heavy.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	return withType(evaluate(ctx, &budget{limit: q.config.Limits.Memory}))
}

// held counts the memory of results that clients have not read yet.
type held struct {
	mu    sync.Mutex
	total float64
	each  map[string]float64
}

func newHeld() *held { return &held{each: map[string]float64{}} }

// take counts a result. The returned function is called when it is not needed any
// more.
func (h *held) take(ctx context.Context, bytes float64) (func(), error) {
	if bytes > resultMemory {
		return nil, (&budget{limit: heavyMemory}).tooLarge(bytes)
	}
	client := clientOf(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.each[client]+bytes > resultMemory || h.total+bytes > heldMemory {
		return nil, &Error{Type: Unavailable, Err: fmt.Errorf("%s of results have not been read by their clients yet; read them first", mebibytes(h.total))}
	}
	h.total += bytes
	h.each[client] += bytes
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.total -= bytes
		if h.each[client] -= bytes; h.each[client] <= 0 {
			delete(h.each, client)
		}
	}), nil
}

// until counts a result until the context of its request ends. Results of callers
// without a name are not sent to anybody.
func (h *held) until(ctx context.Context, bytes float64) error {
	if clientOf(ctx) == "" {
		return nil
	}
	release, err := h.take(ctx, bytes)
	if err == nil {
		context.AfterFunc(ctx, release)
	}
	return err
}
