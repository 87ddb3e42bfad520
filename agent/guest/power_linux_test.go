package guest

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"
	"time"
)

// inFlight is how much of the newest history a sudden loss of power may take: the store
// flushes every five seconds, and one flush may be on its way.
const inFlight = 7 * time.Second

// TestGuestPowerLoss takes the power away from a guest, again and again: what was read is in the
// history once, but for the newest.
func TestGuestPowerLoss(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		disk := drive(t, "data", 512)
		h := hardware{
			devices: append(disk, "-device", "virtio-blk-pci,drive=data"),
			modules: []string{"virtio_pci", "virtio_blk", "ext4"}, tools: []string{"mkfs.ext4"},
		}
		var seen [][]int64 // By round.
		const rounds = 3
		for round := range rounds {
			m := boot(t, kernel, h)
			m.sh("modprobe virtio_pci; modprobe virtio_blk; modprobe ext4; sleep 1")
			if round == 0 {
				m.sh("mkfs.ext4 -q /dev/vda")
			}
			m.sh("mkdir /data; mount /dev/vda /data")
			m.startAgent("--data-dir /data/sysotel")
			if round == rounds-1 {
				check(t, m, seen)
				continue
			}
			seen = append(seen, nil)
			for range 20 {
				if at := m.read().Unix(); !slices.Contains(seen[round], at) {
					seen[round] = append(seen[round], at)
				}
				m.sh("usleep 700000")
			}
			m.qemu.Kill()
		}
	})
}

// check holds what the history has against the readings that were seen before each loss.
func check(t *testing.T, m *machine, seen [][]int64) {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	if err := json.Unmarshal(m.get("/prometheus/api/v1/query?query="+url.QueryEscape("system_memory_limit_bytes[1h]")), &answer); err != nil {
		t.Fatal(err)
	}
	stored := map[int64]bool{}
	for _, r := range answer.Data.Result {
		for _, v := range r.Values {
			at := int64(v[0].(float64))
			if stored[at] {
				t.Errorf("second %d is there twice", at)
			}
			stored[at] = true
		}
	}
	for _, round := range seen {
		lost := 0
		for _, at := range round {
			if stored[at] {
				continue
			}
			lost++
			if age := time.Duration(round[len(round)-1]-at) * time.Second; age > inFlight {
				t.Errorf("a reading of %s before the power was lost is not in the history", age)
			}
		}
		t.Logf("%d readings, and %d of them lost", len(round), lost)
	}
	m.wantHealthy()
}
