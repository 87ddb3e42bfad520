package victoriametrics

import (
	"errors"
	"time"
)

// rest is how long a node that failed is not asked: questions are answered by
// whoever stands in for it, and each would else wait.
const rest = 5 * time.Second

// Away is why the node does not answer, nil while it does.
func (n *Node) Down() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// backoff is why the node is not asked at the moment, nil where it is.
func (n *Node) backoff() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down != nil && time.Now().Before(n.until) {
		return n.down
	}
	return nil
}

// setResult notes how the newest request setResult.
func (n *Node) setResult(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.down
	n.down = err
	switch {
	case err != nil:
		n.until = time.Now().Add(rest)
		if before == nil {
			n.options.Log.Warn("VictoriaMetrics does not respond", "err", err)
		}
	case before != nil:
		n.options.Log.Info("VictoriaMetrics responds again")
	}
}

// errGarbage is an answer that is not one of VictoriaMetrics.
var errGarbage = errors.New("invalid response")
