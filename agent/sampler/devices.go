package sampler

import (
	"slices"
	"strconv"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// device is a part of the machine that can be added and removed while it runs.
type device struct {
	class, name string
	// what and kind identify it further: the device that is mounted, and its type.
	what, kind string
}

// deviceList has the devices of one class at the newest reading.
type deviceList struct {
	collector string
	// list appends the devices of a reading.
	list func([]device, instruments.Reading) []device
	// known is false until there is a list to compare with.
	known       bool
	before, now []device
}

func newDeviceLists() []*deviceList {
	return []*deviceList{
		{collector: "cpu", list: func(to []device, r instruments.Reading) []device {
			if cpu, ok := r.(*instruments.CPU); ok {
				for i := range cpu.Cores {
					to = append(to, device{class: "cpu", name: cpu.Cores[i].ID})
				}
			}
			return to
		}},
		{collector: "disk", list: func(to []device, r instruments.Reading) []device {
			if disk, ok := r.(*instruments.Disk); ok {
				for _, devices := range [...][]instruments.DiskDevice{disk.Devices, disk.Unnamed} {
					for i := range devices {
						if !devices[i].Sum {
							to = append(to, device{class: "disk", name: devices[i].Name, what: devices[i].Mapper})
						}
					}
				}
			}
			return to
		}},
		{collector: "network", list: func(to []device, r instruments.Reading) []device {
			if network, ok := r.(*instruments.Network); ok {
				for _, interfaces := range [...][]instruments.Interface{network.Interfaces, network.Unnamed} {
					for i := range interfaces {
						if !interfaces[i].Sum {
							to = append(to, device{class: "interface", name: interfaces[i].Name})
						}
					}
				}
			}
			return to
		}},
		{collector: "filesystem", list: func(to []device, r instruments.Reading) []device {
			if filesystem, ok := r.(*instruments.Filesystem); ok {
				for _, mounts := range [...][]instruments.Mount{filesystem.Mounts, filesystem.Unnamed} {
					for i := range mounts {
						if m := &mounts[i]; !m.Sum {
							to = append(to, device{class: "mount", name: m.Mountpoint, what: m.Device, kind: m.Type})
						}
					}
				}
			}
			return to
		}},
	}
}

// maxDeviceEvents bounds the events of one class at one tick: a thousand mounts at
// once must not push other events out of the queue.
const maxDeviceEvents = 64

// compare emits an event for each device that was added or removed since the previous
// reading.
func (l *deviceList) compare(r instruments.Reading, at time.Time, emit func(records.Event)) {
	l.now = l.list(l.now[:0], r)
	if l.known && !slices.Equal(l.before, l.now) {
		left := maxDeviceEvents
		changes := func(kind records.Kind, of, in []device) {
			more := 0
			known := make(map[device]bool, len(in))
			for _, d := range in {
				known[d] = true
			}
			for _, d := range of {
				switch {
				case known[d]:
				case left == 0:
					more++
				default:
					left--
					emit(d.event(kind, at))
				}
			}
			if more > 0 {
				emit(records.Event{Time: at, Kind: kind, Detail: map[string]string{"class": of[0].class, "more": strconv.Itoa(more)}})
			}
		}
		changes(records.DeviceRemoved, l.before, l.now)
		changes(records.DeviceAdded, l.now, l.before)
	}
	l.known = true
	l.before, l.now = l.now, l.before
}

func (d device) event(kind records.Kind, at time.Time) records.Event {
	detail := map[string]string{"class": d.class}
	if d.what != "" {
		detail["device"] = d.what
	}
	if d.kind != "" {
		detail["type"] = d.kind
	}
	return records.Event{Time: at, Kind: kind, Subject: d.name, Detail: detail}
}
