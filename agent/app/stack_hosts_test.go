//go:build linux

package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysotel/agent/health"
	"sysotel/api"
)

// TestThreeHosts: three agents with their own networks and host names push to one
// Collector. The nodes then have three hosts, each with the numbers of its agent, and
// an agent that queries the nodes lists all three.
func TestThreeHosts(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	// A bridge between the networks; the Collector is on this side.
	// A run that was killed has left its bridge: each has a subnet of its own.
	subnet := fmt.Sprintf("10.%d.%d.", 64+os.Getpid()%64, os.Getpid()/64%256)
	here := subnet + "1"
	bridge := fmt.Sprintf("so%d", os.Getpid())
	command(t, "ip", "link", "add", bridge, "type", "bridge")
	undo(t, "ip", "link", "del", bridge)
	command(t, "ip", "addr", "add", here+"/24", "dev", bridge)
	command(t, "ip", "link", "set", bridge, "up")
	s := newStackAt(t, here, "1s", "1m", "5m", "1h")

	type machine struct {
		name, device, dataDir string
		agent                 *child
	}
	var machines []machine
	for i := range 3 {
		m := machine{name: fmt.Sprintf("machine%d", i+1), device: fmt.Sprintf("net%d", i+1)}
		space, far := fmt.Sprintf("sysotel-%d-%s", os.Getpid(), m.name), fmt.Sprintf("so%d-%d", os.Getpid(), i+1)
		command(t, "ip", "netns", "add", space)
		undo(t, "ip", "netns", "del", space)
		command(t, "ip", "link", "add", far, "type", "veth", "peer", "name", m.device, "netns", space)
		command(t, "ip", "link", "set", far, "master", bridge, "up")
		command(t, "ip", "-n", space, "addr", "add", fmt.Sprintf("%s%d/24", subnet, i+2), "dev", m.device)
		command(t, "ip", "-n", space, "link", "set", "lo", "up")
		command(t, "ip", "-n", space, "link", "set", m.device, "up")
		c := configure(t)
		m.dataDir = c.DataDir
		m.agent = spawn(t, "agent", m.name, []string{"ip", "netns", "exec", space}, append(
			sameFlags(c), "--host.name="+m.name, "--otlp.endpoint=http://"+s.grpc, "--otlp.tiered=true")...)
		awaitTick(t, unixClient(c), 3)
		machines = append(machines, m)
	}

	// An agent that does not push.
	viewer := run(t, configure(t, "--host.name=viewer", "--store.backend=victoriametrics", "--store.victoriametrics="+s.urls()))
	poll(t, func() error {
		var list api.HostList
		decode(t, get(t, viewer.socket, "/api/v1/hosts"), &list)
		var up []string
		for _, h := range list.Hosts {
			if h.Status == "up" && h.HostName != "viewer" {
				up = append(up, h.HostName)
			}
		}
		if want := []string{"machine1", "machine2", "machine3"}; !slices.Equal(up, want) {
			return fmt.Errorf("the hosts are %+v, want %v", list, want)
		}
		return nil
	})

	for _, m := range machines {
		if err := m.agent.Stop(); err != nil {
			t.Errorf("%s ended with %v", m.name, err)
		}
		kept := tierOnDisk(t, m.dataDir, "1s")
		n := s.nodes[0]
		got := n.awaitSamples(kept, nil)
		own := samples{}
		for series, times := range got {
			if strings.Contains(series, fmt.Sprintf("host_name=%q", m.name)) {
				own[series] = times
			}
			if strings.Contains(series, fmt.Sprintf("device=%q", m.device)) != strings.Contains(series, fmt.Sprintf("host_name=%q", m.name)) && strings.Contains(series, `device="net`) {
				t.Errorf("a device with the name of another machine: %s", series)
			}
		}
		n.checkOnce(own, kept, nil)
		if len(kept) < 100 {
			t.Errorf("%s kept %d series", m.name, len(kept))
		}
	}
}

// TestTwoMachinesOfOneName: two machines with different ids push under one name. Both
// agents report it, once in the log and in /health.
func TestTwoMachinesOfOneName(t *testing.T) {
	t.Parallel()
	s := newStack(t, "1s", "1m", "5m", "1h")
	machine := func(id, name string) *agent {
		root := t.TempDir()
		for _, dir := range []string{"proc", "sys"} {
			if err := os.Symlink("/"+dir, filepath.Join(root, dir)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(root, "etc"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc", "machine-id"), []byte(id+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return run(t, configure(t, "--host.root="+root, "--host.name="+name, "--otlp.endpoint=http://"+s.grpc, "--otlp.tiered=true",
			"--store.backend=victoriametrics", "--store.victoriametrics="+s.urls()))
	}
	first, second := machine("id-1", "twin"), machine("id-2", "twin")
	cloned := machine("id-1", "twin")
	for _, a := range []*agent{first, second} {
		a.waitComponent("hosts", health.Degraded, `"twin", with the ids id-1 and id-2`)
		if n := strings.Count(a.journal.String(), "several machines push under one name"); n != 1 {
			t.Errorf("the log reports it %d times, want once", n)
		}
		var list api.HostList
		decode(t, get(t, a.socket, "/api/v1/hosts"), &list)
		if len(list.Hosts) != 1 || list.Hosts[0].HostName != "twin" || len(list.Hosts[0].OtherIDs) != 1 {
			t.Errorf("the hosts are %+v", list.Hosts)
		}
	}
	// A clone is detected after both agents have run for a while.
	for _, a := range []*agent{first, cloned} {
		a.waitComponent("hosts", health.Degraded, "one machine id, started at ", " of id-1; run only one agent per machine")
	}
	for _, a := range []*agent{first, second, cloned} {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	}
}
