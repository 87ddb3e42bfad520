package victoriametrics

import (
	"errors"
	"time"
)

// rest is how long a failed node is not requested: the local cache serves queries,
// which would otherwise wait.
const rest = 5 * time.Second

// Down returns why the node does not respond, nil while it does.
func (n *Node) Down() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// backoff returns why the node is not requested at present, nil if it is.
func (n *Node) backoff() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down != nil && time.Now().Before(n.until) {
		return n.down
	}
	return nil
}

// setResult records the outcome of the newest request.
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

// errInvalidResponse is returned for a response that is not VictoriaMetrics'.
var errInvalidResponse = errors.New("invalid response")
