package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// TestKillAgent: an agent that is killed again and again within seconds of its start has
// in its history, once, every second that it streamed, but at most the last before each
// kill.
func TestKillAgent(t *testing.T) {
	kills := 5
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		kills = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	c := configure(t)
	client := unixClient(c)
	t.Cleanup(client.CloseIdleConnections)
	began := time.Now().Unix()
	var streamed, last []int64
	for range kills {
		child := spawn(t, "agent", "killagent", nil, sameFlags(c)...)
		ctx, stop := context.WithCancel(t.Context())
		readings := stream(ctx, t, client)
		n := 1 + rng.IntN(4)
		for reading := range readings {
			streamed = append(streamed, reading.Timestamp.Unix())
			if n--; n == 0 {
				break
			}
		}
		<-time.After(time.Duration(rng.IntN(300)) * time.Millisecond)
		child.Kill()
		<-child.Exited()
		last = append(last, streamed[len(streamed)-1])
		stop()
		client.CloseIdleConnections()
	}
	a := run(t, c)
	<-a.history.store.Opened()
	until := a.tick().Unix() - 1
	if h := a.history.store.Health(); strings.Contains(h.Reason, "wait") || strings.Contains(h.Reason, "damaged") {
		t.Errorf("the store is %s: %s", h.Status, h.Reason)
	}
	stored := map[int64]bool{}
	// A query returns at most so many points.
	for from := began; from <= until; from += 1000 {
		var answer struct {
			Data struct {
				Result []struct{ Values [][2]any }
			}
		}
		body := get(t, a.socket, fmt.Sprintf("/prometheus/api/v1/query?time=%d&query=system_memory_limit_bytes[1000s]", from+999))
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%v: %.200s", err, body)
		}
		for _, one := range answer.Data.Result {
			for _, v := range one.Values {
				at, _ := v[0].(float64)
				if stored[int64(at)] {
					t.Errorf("second %d is there twice", int64(at))
				}
				stored[int64(at)] = true
			}
		}
	}
	inFlight := map[int64]bool{}
	for _, at := range last {
		inFlight[at] = true
	}
	lost := 0
	for _, at := range streamed {
		if stored[at] {
			continue
		}
		lost++
		if !inFlight[at] {
			t.Errorf("second %d was streamed, and is lost", at)
		}
	}
	t.Logf("%d kills, %d streamed seconds, %d lost in flight, %d stored", kills, len(streamed), lost, len(stored))
	if len(streamed) < kills {
		t.Error("too few seconds were streamed")
	}
}
