package instruments

import "testing"

// TestConfigure: new patterns hold from the next read on, and what is already
// known of a device is not lost with them.
func TestConfigure(t *testing.T) {
	for _, c := range []struct {
		collector, exclude string
		gone, stays        string
	}{
		{"disk", "sda", "sysotel.disk.io.rate{read,sda}", "sysotel.disk.io.rate{read,}"},
		{"network", "eth0", "sysotel.network.io.rate{receive,eth0}", "sysotel.network.io.rate{receive,}"},
		{"filesystem", "/boot", "sysotel.disk.limit{/dev/sda1,/boot,vfat}", "sysotel.disk.limit{/dev/sda2,/,ext4}"},
	} {
		t.Run(c.collector, func(t *testing.T) {
			b := newBench(t, nil)
			b.write(machineFiles(machineMounts))
			b.write(map[string]string{
				"proc/diskstats":                "8 0 sda 1 0 8 0 1 0 8 0 0 0 0\n",
				"sys/block/sda/device/vendor":   "x\n",
				"sys/block/sda/size":            "1000\n",
				"proc/1/net/dev":                "Inter-|\n face |\n  eth0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n",
				"sys/class/net/eth0/device/dev": "x\n",
			})
			b.host.statfs = func(string) (capacity, error) { return capacity{Size: 1000, Free: 300, Available: 200}, nil }
			settings := Defaults()
			var f Collector
			for _, d := range CollectorDefaults() {
				if d.Name == c.collector {
					f = d.make(settings, nil)
				}
			}
			b.tick(f)
			before := reported(b.tick(f))
			if _, ok := before[c.gone]; !ok {
				t.Fatalf("%s is not measured to begin with: %v", c.gone, before)
			}
			one := settings.Collectors[c.collector]
			one.Exclude = []string{c.exclude}
			settings.Collectors[c.collector] = one
			f.(Configurable).Configure(settings)
			after := reported(b.tick(f))
			if _, ok := after[c.gone]; ok {
				t.Errorf("%s is still measured", c.gone)
			}
			if _, ok := after[c.stays]; !ok {
				t.Errorf("%s is gone: %v", c.stays, after)
			}
		})
	}
}
