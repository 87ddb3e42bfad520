package instruments

import (
	"strings"
	"testing"
)

// TestGroupName: what paths of service managers and container managers say.
func TestGroupName(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	const uid = "0f8fad5b-d9cb-469f-a165-70867728950e"
	under := strings.ReplaceAll(uid, "-", "_")
	for _, c := range []struct {
		path string
		want GroupName
	}{
		{"/system.slice", GroupName{Kind: "slice", Name: "system.slice", Unit: "system.slice"}},
		{"/system.slice/ssh.service", GroupName{Kind: "service", Name: "ssh.service", Unit: "ssh.service"}},
		{"/system.slice/ssh.service/below", GroupName{Kind: "service", Name: "ssh.service", Unit: "ssh.service", within: true}},
		{`/system.slice/system-a\x2db.slice/a\x2db@\xc3\xa4.service`, GroupName{Kind: "service", Name: "a-b@ä.service", Unit: `a\x2db@\xc3\xa4.service`}},
		{`/system.slice/a\x0ab\xff.service`, GroupName{Kind: "service", Name: "a\\nb\uFFFD.service", Unit: `a\x0ab\xff.service`}},
		{`/system.slice/odd\x.service`, GroupName{Kind: "service", Name: `odd\x.service`, Unit: `odd\x.service`}},
		{"/system.slice/_cgroup.procs.service", GroupName{Kind: "service", Name: "cgroup.procs.service", Unit: "cgroup.procs.service"}},
		{"/system.slice/dev-hugepages.mount", GroupName{Kind: "unit", Name: "dev-hugepages.mount", Unit: "dev-hugepages.mount"}},
		{"/init.scope", GroupName{Kind: "scope", Name: "init.scope", Unit: "init.scope"}},
		{"/user.slice/user-1000.slice", GroupName{Kind: "user", Name: "user-1000.slice", Unit: "user-1000.slice"}},
		{"/user.slice/user-1000.slice/session-3.scope", GroupName{Kind: "session", Name: "session-3.scope", Unit: "session-3.scope"}},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service", GroupName{Kind: "service", Name: "editor.service", Unit: "editor.service"}},
		{"/docker/" + id, GroupName{Kind: "container", Name: id, Container: id, Runtime: "docker"}},
		{"/docker/" + id + "/system.slice/ssh.service", GroupName{Kind: "container", Name: id, Container: id, Runtime: "docker", within: true}},
		{"/docker/buildkit", GroupName{Kind: "group", Name: "buildkit"}},
		{"/system.slice/docker-" + id + ".scope", GroupName{Kind: "container", Name: id, Unit: "docker-" + id + ".scope", Container: id, Runtime: "docker"}},
		{"/system.slice/docker-" + id[1:] + ".scope", GroupName{Kind: "scope", Name: "docker-" + id[1:] + ".scope", Unit: "docker-" + id[1:] + ".scope"}},
		{"/machine.slice/libpod-" + id + ".scope/container", GroupName{Kind: "container", Name: id, Unit: "libpod-" + id + ".scope", Container: id, Runtime: "podman", within: true}},
		{"/machine.slice/libpod-conmon-" + id + ".scope", GroupName{Kind: "scope", Name: "libpod-conmon-" + id + ".scope", Unit: "libpod-conmon-" + id + ".scope"}},
		{"/libpod_parent/libpod-" + id, GroupName{Kind: "container", Name: id, Container: id, Runtime: "podman"}},
		{"/default/" + id, GroupName{Kind: "container", Name: id, Container: id, Runtime: "containerd"}},
		{"/kubepods", GroupName{Kind: "group", Name: "kubepods"}},
		{"/kubepods/burstable/pod" + uid, GroupName{Kind: "pod", Name: uid, Pod: uid}},
		{"/kubepods/burstable/pod" + uid + "/" + id, GroupName{Kind: "container", Name: id, Pod: uid, Container: id}},
		{"/elsewhere/pod" + uid, GroupName{Kind: "group", Name: "pod" + uid}},
		{"/kubepods.slice/kubepods-pod" + under + ".slice", GroupName{Kind: "pod", Name: uid, Pod: uid, Unit: "kubepods-pod" + under + ".slice"}},
		{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under + ".slice/cri-containerd-" + id + ".scope",
			GroupName{Kind: "container", Name: id, Pod: uid, Container: id, Runtime: "containerd", Unit: "cri-containerd-" + id + ".scope"}},
		{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under + ".slice/crio-" + id + ".scope",
			GroupName{Kind: "container", Name: id, Pod: uid, Container: id, Runtime: "cri-o", Unit: "crio-" + id + ".scope"}},
		{"/kubepods.slice/kubepods-besteffort.slice", GroupName{Kind: "slice", Name: "kubepods-besteffort.slice", Unit: "kubepods-besteffort.slice"}},
		{"/lxc.payload.web", GroupName{Kind: "container", Name: "web", Container: "web", Runtime: "lxc"}},
		{"/lxc.monitor.web", GroupName{Kind: "group", Name: "lxc.monitor.web"}},
		{"/lxc/100/ns", GroupName{Kind: "container", Name: "100", Container: "100", Runtime: "lxc", within: true}},
		{`/machine.slice/systemd-nspawn@my\x2dbox.service/payload`, GroupName{Kind: "container", Name: "my-box", Container: "my-box", Runtime: "systemd-nspawn", Unit: `systemd-nspawn@my\x2dbox.service`, within: true}},
		{`/machine.slice/machine-box.scope`, GroupName{Kind: "container", Name: "box", Container: "box", Runtime: "systemd-nspawn", Unit: "machine-box.scope"}},
		{`/machine.slice/machine-qemu\x2d1\x2ddb.scope`, GroupName{Kind: "vm", Name: "db", Unit: `machine-qemu\x2d1\x2ddb.scope`}},
		{`/machine.slice/machine-lxc\x2d77\x2dbox.scope`, GroupName{Kind: "container", Name: "box", Container: "box", Runtime: "lxc", Unit: `machine-lxc\x2d77\x2dbox.scope`}},
		{"/qemu.slice/101.scope", GroupName{Kind: "vm", Name: "101", Unit: "101.scope"}},
	} {
		got := groupNameOf(c.path)
		got.Path, got.last = "", ""
		if got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.path, got, c.want)
		}
	}
}

func FuzzGroupName(f *testing.F) {
	f.Add(`/kubepods.slice/a\x2d.slice/docker-0.scope`)
	f.Fuzz(func(t *testing.T, path string) {
		if g := groupNameOf(path); strings.ContainsAny(g.Name+g.Unit+g.Container+g.Path, "\n\x1b\x00") {
			t.Errorf("%q has a control character in %+v", path, g)
		}
	})
}
