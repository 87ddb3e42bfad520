package sampler

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// parts are readings of a machine with the named parts.
func parts(cpus, disks, interfaces, mounts []string) map[string]instruments.Reading {
	c, d, n, f := &instruments.CPU{}, &instruments.Disk{}, &instruments.Network{}, &instruments.Filesystem{}
	for _, name := range cpus {
		c.Cores = append(c.Cores, instruments.Core{ID: name})
	}
	for _, name := range disks {
		d.Devices = append(d.Devices, instruments.DiskDevice{Name: name})
	}
	for _, name := range interfaces {
		n.Interfaces = append(n.Interfaces, instruments.Interface{Name: name})
	}
	for _, name := range mounts {
		f.Mounts = append(f.Mounts, instruments.Mount{Mountpoint: name, Device: "/dev" + name, Type: "ext4"})
	}
	return map[string]instruments.Reading{"cpu": c, "disk": d, "network": n, "filesystem": f}
}

// TestHotPlug: each part that comes or goes is one event; what fails to be read
// has not gone, and new settings are no change of the machine.
func TestHotPlug(t *testing.T) {
	type names = []string
	whole := parts(names{"cpu0", "cpu1"}, names{"sda"}, names{"lo", "eth0"}, names{"/", "/home"})
	for _, c := range []struct {
		name string
		now  map[string]instruments.Reading
		want []string
	}{
		{"nothing", whole, nil},
		{"in another order", parts(names{"cpu1", "cpu0"}, names{"sda"}, names{"eth0", "lo"}, names{"/home", "/"}), nil},
		{"a processor goes", parts(names{"cpu0"}, names{"sda"}, names{"lo", "eth0"}, names{"/", "/home"}), names{"device_removed cpu cpu1"}},
		{"a disk and its mount come", parts(names{"cpu0", "cpu1"}, names{"sda", "sdb"}, names{"lo", "eth0"}, names{"/", "/home", "/mnt"}), names{"device_added disk sdb", "device_added mount /mnt"}},
		{"an interface is renamed", parts(names{"cpu0", "cpu1"}, names{"sda"}, names{"lo", "eth1"}, names{"/", "/home"}), names{"device_removed interface eth0", "device_added interface eth1"}},
		{"the last disk goes", parts(names{"cpu0", "cpu1"}, nil, names{"lo", "eth0"}, names{"/", "/home"}), names{"device_removed disk sda"}},
		{"nothing can be read", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logbook
				var collectors []*fake
				for _, name := range []string{"cpu", "disk", "network", "filesystem"} {
					collectors = append(collectors, &fake{name: name, read: func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
						switch {
						case tick.Seq < 3 || tick.Seq > 5:
							return whole[name], nil
						case c.now == nil:
							return nil, errors.New("not now")
						}
						return c.now[name], nil
					}})
				}
				s, n := recorded(t, &log, collectors...)
				got := func() (lines []string) {
					for _, e := range n.of(records.DeviceAdded, records.DeviceRemoved) {
						lines = append(lines, string(e.Kind)+" "+e.Detail["class"]+" "+e.Subject)
					}
					return lines
				}
				start(t, s)
				pass(4500 * time.Millisecond)
				if !slices.Equal(got(), c.want) {
					t.Errorf("events %q, want %q", got(), c.want)
				}
				pass(5 * time.Second)
				equal(t, "events when all is as before", len(got()), 2*len(c.want))
			})
		})
	}
}

// TestNewSettingsAreNoHotPlug: an interface that is left out from now on is still there.
func TestNewSettingsAreNoHotPlug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		f := &fake{name: "network"}
		f.read = func(context.Context, instruments.Tick) (instruments.Reading, error) {
			if f.configurations() > 0 {
				return parts(nil, nil, []string{"lo"}, nil)["network"], nil
			}
			return parts(nil, nil, []string{"lo", "eth0"}, nil)["network"], nil
		}
		s, n := recorded(t, &log, f)
		start(t, s)
		pass(2500 * time.Millisecond)
		s.Configure(settings(f))
		pass(5 * time.Second)
		equal(t, "events", len(n.events), 0)
		equal(t, "configurations", f.configurations(), 1)
	})
}

// TestMountEvent: an event says what was mounted, and another thing in the same
// place is another device.
func TestMountEvent(t *testing.T) {
	list := newDeviceLists()[3]
	mount := func(device string) instruments.Reading {
		return &instruments.Filesystem{Mounts: []instruments.Mount{{Mountpoint: "/mnt", Device: device, Type: "nfs4"}}}
	}
	var events []records.Event
	emit := func(e records.Event) { events = append(events, e) }
	list.compare(mount("nas:/a"), at("12:00:00"), emit)
	list.compare(mount("nas:/b"), at("12:00:01"), emit)
	if len(events) != 2 {
		t.Fatalf("events %+v", events)
	}
	for i, want := range []string{"nas:/a", "nas:/b"} {
		equal(t, "subject", events[i].Subject, "/mnt")
		equal(t, "device", events[i].Detail["device"], want)
		equal(t, "type", events[i].Detail["type"], "nfs4")
		equal(t, "time", events[i].Time, at("12:00:01"))
	}
}

// TestDeviceStorm: a thousand mounts at once are a bounded number of events, and the
// last one says how many more there are.
func TestDeviceStorm(t *testing.T) {
	list := newDeviceLists()[3]
	var events []records.Event
	emit := func(e records.Event) { events = append(events, e) }
	var many []string
	for i := range 1000 {
		many = append(many, "/mnt/"+strconv.Itoa(i))
	}
	list.compare(parts(nil, nil, nil, nil)["filesystem"], at("12:00:00"), emit)
	list.compare(parts(nil, nil, nil, many)["filesystem"], at("12:00:01"), emit)
	equal(t, "events", len(events), maxDeviceEvents+1)
	equal(t, "more", events[maxDeviceEvents].Detail["more"], strconv.Itoa(1000-maxDeviceEvents))
}

// TestSameDevicesCostNoMemory: nothing happens at nearly all ticks.
func TestSameDevicesCostNoMemory(t *testing.T) {
	list := newDeviceLists()[3]
	r := parts(nil, nil, nil, []string{"/", "/home"})["filesystem"]
	emit := func(e records.Event) { t.Errorf("event %+v", e) }
	list.compare(r, at("12:00:00"), emit)
	list.compare(r, at("12:00:01"), emit)
	if n := testing.AllocsPerRun(100, func() { list.compare(r, at("12:00:02"), emit) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
