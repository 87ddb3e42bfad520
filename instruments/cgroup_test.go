package instruments

import (
	"maps"
	"slices"
	"testing"
)

func TestParseCgroupPaths(t *testing.T) {
	text := "9:name=systemd:/a\n3:cpu,cpuacct:/b/c\n2:memory:/d:with:colons\n0::/e\nrubbish\n"
	want := map[string]string{"name=systemd": "/a", "cpu": "/b/c", "cpuacct": "/b/c", "memory": "/d:with:colons", "": "/e"}
	if got := parseCgroupPaths([]byte(text)); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseCgroupMounts(t *testing.T) {
	text := `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
33 31 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw master:5 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /my\040cgroup rw,nosuid shared:4 master:6 - cgroup2 cgroup2 rw,nsdelegate
42 31 0:39 / /short rw - cgroup2
`
	want := []cgroupMount{
		{version: 1, options: "rw,cpu,cpuacct", root: "/docker/abc", point: "/sys/fs/cgroup/cpu,cpuacct"},
		{version: 2, options: "rw,nsdelegate", root: "/", point: "/my cgroup"},
	}
	if got := parseCgroupMounts([]byte(text)); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCgroupLevels(t *testing.T) {
	v2 := func(root string) []cgroupMount {
		return []cgroupMount{{version: 2, root: root, point: "/sys/fs/cgroup"}}
	}
	for _, c := range []struct {
		name       string
		mounts     []cgroupMount
		paths      map[string]string
		controller string
		want       []string
	}{
		{"a unit of systemd", v2("/"), map[string]string{"": "/system.slice/sysotel.service"}, "memory", []string{
			"sys/fs/cgroup/system.slice/sysotel.service", "sys/fs/cgroup/system.slice", "sys/fs/cgroup",
		}},
		{"a container with its own view", v2("/"), map[string]string{"": "/"}, "cpu", []string{"sys/fs/cgroup"}},
		{"a container with the machine's view of its own part", v2("/docker/abc"), map[string]string{"": "/docker/abc"}, "cpu", []string{"sys/fs/cgroup"}},
		{"a longer name is another group", v2("/docker/abc"), map[string]string{"": "/docker/abcdef"}, "cpu", nil},
		{"outside of what is mounted", v2("/"), map[string]string{"": "/../other"}, "cpu", nil},
		{"not mounted", nil, map[string]string{"": "/"}, "cpu", nil},
		{"no such hierarchy", v2("/"), map[string]string{"name=systemd": "/"}, "cpu", nil},
		{
			"version 1 wins where it has the controller",
			[]cgroupMount{{version: 2, root: "/", point: "/u"}, {version: 1, root: "/", point: "/c", options: "rw,cpu,cpuacct"}},
			map[string]string{"": "/x", "cpu": "/y", "cpuacct": "/y"},
			"cpuacct",
			[]string{"c/y", "c"},
		},
		{
			"a controller is not part of another's name",
			[]cgroupMount{{version: 1, root: "/", point: "/set", options: "rw,cpuset"}, {version: 1, root: "/", point: "/cpu", options: "rw,cpu"}},
			map[string]string{"cpu": "/"},
			"cpu",
			[]string{"cpu"},
		},
	} {
		var got []string
		for _, level := range cgroupLevels(c.mounts, c.paths, c.controller) {
			got = append(got, level.path)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestStatValue(t *testing.T) {
	text := []byte("inactive_file_x 1\ninactive_anon 2\ninactive_file 3\nbroken x\n")
	if v, ok := statValue(text, "inactive_file"); !ok || v != 3 {
		t.Errorf("inactive_file is %d, %v", v, ok)
	}
	for _, key := range []string{"inactive", "active_file", "broken", "nothing"} {
		if v, ok := statValue(text, key); ok {
			t.Errorf("%s is %d, want none", key, v)
		}
	}
}

func FuzzCgroup(f *testing.F) {
	f.Add([]byte("0::/a/b\n3:cpu,cpuacct:/c\n"), []byte("1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n4 2 0:5 /c /cpu rw - cgroup cgroup rw,cpu,cpuacct\n"))
	f.Fuzz(func(_ *testing.T, paths, mounts []byte) {
		for _, controller := range []string{"cpu", "cpuacct", "memory"} {
			cgroupLevels(parseCgroupMounts(mounts), parseCgroupPaths(paths), controller)
		}
	})
}

func FuzzStatValue(f *testing.F) {
	f.Add([]byte("usage_usec 5\n"), "usage_usec")
	f.Fuzz(func(_ *testing.T, text []byte, key string) { statValue(text, key) })
}
