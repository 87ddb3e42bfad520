package instruments

import (
	"strings"
	"testing"
)

func TestFilter(t *testing.T) {
	f := func(include, exclude string, byDefault, want bool) {
		t.Helper()
		c := Defaults()
		c.Collectors["disk"] = CollectorConfig{Include: strings.Fields(include), Exclude: strings.Fields(exclude)}
		if got := c.Filter("disk").Keep(byDefault, "device", "sda"); got != want {
			t.Errorf("include %q, exclude %q, by default %v: %v, want %v", include, exclude, byDefault, got, want)
		}
	}
	f("", "", true, true)
	f("", "", false, false)
	f("sd*", "", false, true)
	f("nvme*", "", true, false)
	f("sd*", "sda", true, false)
	f("", "device:sda", true, false)
	f("", "nvme*", false, false)
}

func TestDefaultsLeaveContainersOut(t *testing.T) {
	f := Defaults().Filter("network")
	for name, want := range map[string]bool{"eth0": true, "br-lan": true, "docker0": true, "veth1a2b": false, "br-0123456789ab": false, "cali123": false} {
		if got := f.Keep(true, "device", name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
