package instruments

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The official collection of scripts that write text files, and the commit that is tried.
const (
	scriptsURL    = "https://github.com/prometheus-community/node-exporter-textfile-collector-scripts"
	scriptsCommit = "01cecc3b6e09eb39f485dff9c61c26f4e3e8527c"
)

// scriptsVariable names a clone of the collection, for a machine without a network.
const scriptsVariable = "SYSOTEL_TEST_TEXTFILE_SCRIPTS"

// stubs stand for programs of hardware that the machine does not have. They print what
// the programs' manuals show.
var stubs = map[string]string{
	"pvs": `echo '  LVM2_PV_NAME=/dev/sda2 LVM2_PV_FMT=lvm2 LVM2_PV_FREE=4194304 LVM2_PV_SIZE=1000203091968 LVM2_PV_UUID=fQ2m3V'`,
	"vgs": `echo '  LVM2_VG_NAME=vg0 LVM2_VG_FREE=4194304 LVM2_VG_SIZE=1000203091968'`,
	"lvs": `echo '  LVM2_LV_UUID=aB1cD2 LVM2_VG_NAME=vg0 LVM2_DATA_PERCENT=12.50 LVM2_METADATA_PERCENT=3.10'`,
	"mdadm": `cat <<'END'
/dev/md127:
           Version : 1.2
     Creation Time : Sat Jan  3 10:00:00 2026
        Raid Level : raid1
        Array Size : 976630464 (931.39 GiB 1000.07 GB)
     Used Dev Size : 976630464 (931.39 GiB 1000.07 GB)
      Raid Devices : 2
     Total Devices : 2
       Persistence : Superblock is persistent
     Intent Bitmap : Internal
       Update Time : Sun Nov 29 10:00:00 2026
             State : clean
    Active Devices : 2
   Working Devices : 2
    Failed Devices : 0
     Spare Devices : 0
Consistency Policy : bitmap
              Name : host:data  (local to host host)
              UUID : 3aaa0122:29827cfa:5331ad66:ca767371
            Events : 4217

    Number   Major   Minor   RaidDevice State
       0       8        1        0      active sync   /dev/sda1
       1       8       17        1      active sync   /dev/sdb1
END`,
	"multipathd":    `printf 'dev dm_st chk_st\nsdc active ready\nsdd failed faulty\n'`,
	"yum":           `printf '\nkernel.x86_64 5.14.0-503 baseos\nbash.x86_64 5.1.8-9 baseos\nhttpd.x86_64 2.4.62-1 appstream\n'; exit 100`,
	"pacman":        `printf 'linux 6.11.1 -> 6.11.2\nbash 5.2.32-1 -> 5.2.37-1\n'`,
	"mget_temp_ext": `echo ' 54 '`,
	"needrestart":   `printf 'NEEDRESTART-VER: 3.6\nNEEDRESTART-KCUR: 6.1.0-31-amd64\nNEEDRESTART-KEXP: 6.1.0-32-amd64\nNEEDRESTART-KSTA: 3\nNEEDRESTART-SVC: ssh.service\nNEEDRESTART-SVC: cron.service\n'`,
	"chronyc":       `echo 'C0A80001,ntp.example.org,3,1764400000.123456789,-0.000001500,0.000002000,0.000010000,-1.234,0.001,0.050,0.012345678,0.001234567,64.5,Normal'`,
	"ntpq": `case "$1" in
-c) echo 'rootdelay=27.506, rootdisp=8.130, offset=0.006675, sys_jitter=0.854537' ;;
*) cat <<'END'
     remote           refid      st t when poll reach   delay   offset   jitter
==============================================================================
*ntp1.example.or .GPS.            1 u   35   64  377    1.234   -0.056   0.012
END
esac`,
	"ipmitool": `cat <<'END'
CPU Temp         | 45.000     | degrees C  | ok    | 0.000     | 0.000     | 0.000     | 95.000    | 100.000   | 100.000
FAN1             | 1400.000   | RPM        | ok    | 300.000   | 500.000   | 700.000   | 25300.000 | 25400.000 | 25500.000
12V              | 12.126     | Volts      | ok    | 10.144    | 10.272    | 10.784    | 12.960    | 13.280    | 13.408
Chassis Intru    | 0x0        | discrete   | 0x0000| na        | na        | na        | na        | na        | na
FAN2             | na         |            | na    | na        | na        | na        | na        | na        | na
END`,
	"smartctl": `case "$*" in
-V) echo 'smartctl 7.3 2022-02-28 r5338 [x86_64-linux-6.1.0] (local build)' ;;
--scan-open*) echo '/dev/sda -d sat # /dev/sda [SAT], ATA device' ;;
*standby*) ;;
*xerror*) printf 'SMART Extended Comprehensive Error Log Version: 1 (1 sectors)\nNo Errors Logged\n' ;;
*-A*|*--attributes*) cat <<'END'
=== START OF READ SMART DATA SECTION ===
SMART Attributes Data Structure revision number: 16
Vendor Specific SMART Attributes with Thresholds:
ID# ATTRIBUTE_NAME          FLAG     VALUE WORST THRESH TYPE      UPDATED  WHEN_FAILED RAW_VALUE
  5 Reallocated_Sector_Ct   0x0033   100   100   010    Pre-fail  Always       -       0
  9 Power_On_Hours          0x0032   095   095   000    Old_age   Always       -       21934
194 Temperature_Celsius     0x0022   064   052   000    Old_age   Always       -       36 (Min/Max 18/48)
END
;;
*) cat <<'END'
=== START OF INFORMATION SECTION ===
Model Family:     Samsung based SSDs
Device Model:     Samsung SSD 870 EVO 1TB
Serial Number:    S5Y2NX0R123456A
Firmware Version: SVT02B6Q
SMART support is: Available - device has SMART capability.
SMART support is: Enabled
=== START OF READ SMART DATA SECTION ===
SMART overall-health self-assessment test result: PASSED
END
esac`,
	"nvme": `case "$*" in
version) echo 'nvme version 2.11 (git 2.11)' ;;
list*) echo '{"Devices":[{"HostNQN":"nqn","Subsystems":[{"Controllers":[{"Controller":"nvme0","SerialNumber":"S4EWNX0M123456 ","ModelNumber":"Samsung SSD 970 EVO Plus 1TB","Firmware":"2B2QEXM7","Namespaces":[{"NameSpace":"nvme0n1","NSID":1,"UsedBytes":500107862016,"PhysicalSize":1000204886016,"SectorSize":512}]}]}]}]}' ;;
smart-log*) echo '{"critical_warning":{"value":0},"temperature":310,"avail_spare":100,"spare_thresh":10,"percent_used":3,"data_units_read":"31201922","data_units_written":"42009113","host_read_commands":"501","host_write_commands":"602","controller_busy_time":"1234","power_cycles":"77","power_on_hours":"8123","unsafe_shutdowns":"12","media_errors":"0","num_err_log_entries":"4"}' ;;
esac`,
	"zpool": `case "$*" in
*size*) printf 'tank\t1992864825344\t996432412672\t0\t1.00\t7\n' ;;
*) printf 'tank\tONLINE\t-\toff\t12\toff\twait\n' ;;
esac`,
	"zfs": `case "$*" in
*snapshot*) printf 'tank/home@daily\t1024\t1764400000\ntank/home@weekly\t2048\t1764300000\n' ;;
*compressratio,*) printf 'tank/home\t4096\t8192\t4096\t1.43x\t0\t0\t-\n' ;;
*) printf 'tank/home\tfilesystem\t1764400000\tyes\t/home\ton\tlz4\toff\t5\toff\t-\n' ;;
esac`,
}

// collectionScript is one script: how it is run, and what has to come of it.
type collectionScript struct {
	name string
	// prepare makes the machine one for which the script was written, in a mount
	// namespace; run replaces the script itself as the command.
	prepare, run string
	python       bool
	// unless is the complaint of a script that cannot run on this machine, and why.
	unless [2]string
	// want are some of the series; with none the script has nothing to say here.
	want []string
}

const raid = `mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mkdir /dev/md && mknod /dev/md127 b 9 127 && ln -s ../md127 /dev/md/data
mount -t tmpfs none /sys/devices/virtual/block && cd /sys/devices/virtual/block && mkdir -p md127/md/rd0 md127/md/rd1 sda1 sdb1
echo 0 >md127/md/layout; echo raid1 >md127/md/level; echo 1.2 >md127/md/metadata_version; echo 2 >md127/md/raid_disks
echo in_sync >md127/md/rd0/state; echo in_sync >md127/md/rd1/state; ln -s ../../../sda1 md127/md/rd0/block; ln -s ../../../sdb1 md127/md/rd1/block
cd /`

// collection are all scripts of the collection but tw_cli.py, for a controller whose
// program asks its questions in a dialogue.
var collection = []collectionScript{
	{name: "apt_info.py", python: true, want: []string{`node_reboot_required{} `}, unless: [2]string{"has no attribute 'phasing_applied'", "the script needs a newer python3-apt than Debian 12 has"}},
	{name: "btrfs_stats.py", python: true},
	{name: "chrony.py", python: true, want: []string{`chrony_tracking_stratum{} 3`, `chrony_tracking_system_offset_seconds{} -1.5e-06`}},
	{name: "deleted_libraries.py", python: true, unless: [2]string{"Failed to open file: /proc/1/maps", "here nobody may read the memory map of process 1, not even root"}},
	{
		name: "directory-size.sh", run: `"$script" /tmp/sizes/*`, prepare: `mount -t tmpfs none /tmp/sizes && mkdir '/tmp/sizes/a b' '/tmp/sizes/c"d' && head -c 5000 /dev/zero >'/tmp/sizes/a b/x'`,
		want: []string{`node_directory_size_bytes{directory="/tmp/sizes/a b"} 8192`, `node_directory_size_bytes{directory="/tmp/sizes/c\"d"} 0`},
	},
	{
		name: "fstab-check.sh", prepare: `mount -t tmpfs none /tmp/sizes && printf '# a comment\n/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1 /nowhere xfs defaults 0 2\n' >/tmp/sizes/fstab && mount --bind /tmp/sizes/fstab /etc/fstab`,
		want: []string{`node_fstab_mount_status{mountpoint="/"} 1`, `node_fstab_mount_status{mountpoint="/nowhere"} 0`},
	},
	{name: "inotify-instances", python: true, want: []string{`inotify_instances{command="`}},
	{name: "ipmitool", run: `ipmitool sensor | awk -f "$script"`, want: []string{`node_ipmi_temperature_celsius{sensor="CPU Temp"} 45`, `node_ipmi_speed_rpm{sensor="FAN1"} 1400`, `node_ipmi_volts{sensor="12V"} 12.126`}},
	{name: "lvm-prom-collector", run: `"$script" -a`, want: []string{`node_physical_volume_size{format="lvm2",name="/dev/sda2",uuid="fQ2m3V"} 1.000203091968e+12`, `node_lvm_thin_pools_metadata{uuid="aB1cD2",vgroup="vg0"} 3.1`}},
	{name: "md_info.sh", prepare: raid, want: []string{`node_md_disk_info{disk_device="sdb1",md_device="md127"} 1`, `node_md_info{md_device="md127",md_metadata_version="1.2",md_name="data",raid_level="1"} 1`}},
	{name: "md_info_detail.sh", prepare: raid, want: []string{`node_md_info_Events{md_device="md127",md_metadata_version="1.2",md_name="data",md_num_raid_disks="2",raid_level="1"} 4217`, `node_md_info_FailedDevices{`}},
	{name: "mellanox_hca_temp", prepare: `mount -t tmpfs none /sys/class && mkdir -p /sys/class/infiniband/mlx5_0`, want: []string{`node_infiniband_hca_temp_celsius{device="mlx5_0"} 54`}},
	{name: "multipathd_info", want: []string{`node_dmpath_info{device="sdd",dm_path_state="failed",path_state="faulty"} 1`}},
	{name: "needrestart_info.py", python: true, run: `python3 "$script"`, want: []string{`needrestart_services_total{} 2`, `needrestart_kernel_status_info{current="6.1.0-31-amd64",expected="6.1.0-32-amd64"} 3`}},
	{
		name: "node_os_info.sh", prepare: `mount -t tmpfs none /etc && echo 'CentOS release 6.10 (Final)' >/etc/redhat-release && touch /etc/centos-release; mount --bind /dev/null /usr/lib/os-release`,
		want: []string{`node_os_version{id="centos",id_like="rhel fedora",name="CentOS"} 6`},
	},
	{name: "ntpd_metrics.py", python: true, want: []string{`ntpd_offset{} 0.006675`}},
	{name: "nvme_metrics.py", python: true, want: []string{`nvme_temperature_celsius{device="nvme0n1"} 37`, `nvme_power_on_hours_total{device="nvme0n1"} 8123`}},
	{name: "pacman.sh", want: []string{`pacman_updates_pending{} 2`}},
	{name: "smartmon.py", python: true, want: []string{`smartmon_`}},
	{name: "smartmon.sh", want: []string{`smartmon_power_on_hours_raw_value{disk="/dev/sda",smart_id="9",type="sat"} 21934`, `smartmon_device_smart_healthy{disk="/dev/sda",type="sat"} 1`, `smartmon_temperature_celsius_raw_value{disk="/dev/sda",smart_id="194",type="sat"} 36`}},
	{name: "storcli.py", python: true, run: `"$script" --storcli_path "$(dirname "$script")/mock/storcli"`, want: []string{`megaraid_`}},
	{name: "yum.sh", want: []string{`yum_upgrades_pending{origin="baseos"} 2`, `yum_upgrades_pending{origin="appstream"} 1`}},
	{name: "zfs-snapshots.py", python: true, want: []string{`zfs_snapshot`}},
	{name: "zfs_zpool.sh", want: []string{`zfs_zpool_size_bytes{zpool_name="tank"} 1.992864825344e+12`, `zfs_dataset_compressratio{dataset_name="tank/home"} 1.43`}},
}

// TestOfficialScripts runs the official collection of scripts, unchanged, and the agent
// takes everything that they write, also as programs on Windows would write it.
func TestOfficialScripts(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("not root, and CI must run this test")
		}
		t.Skip("needs root: the programs that the scripts call are mounted over the machine's")
	}
	from := scripts(t)
	python := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import prometheus_client, apt").Run() == nil
	over := t.TempDir()
	for name, text := range stubs {
		if err := os.WriteFile(filepath.Join(over, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil { //nolint:gosec // It is run.
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("/tmp/sizes", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove("/tmp/sizes") })
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	tried, series := 0, 0
	for _, s := range collection {
		t.Run(s.name, func(t *testing.T) {
			if s.python && !python {
				if os.Getenv("CI") != "" {
					t.Fatal("no module prometheus_client or apt of Python, and CI must run this test")
				}
				t.Skip("the script needs modules of Python: apt-get install python3-prometheus-client python3-apt")
			}
			text := s.output(t, from, over)
			dir := t.TempDir()
			f := newCustomFixture(t, CustomConfig{Textfile: []string{dir}})
			path := filepath.Join(dir, s.name+".prom")
			writeText(t, path, text)
			plain := f.tick()
			got := contents(plain)
			if len(plain.Errors) > 0 || successes(plain)[s.name+".prom"] != 1 {
				t.Errorf("the agent refuses some of\n%s\n%s", text, got)
			}
			for _, want := range s.want {
				if !slices.ContainsFunc(strings.Split(got, "\n"), func(line string) bool {
					return line == want || strings.HasPrefix(line, want) && strings.ContainsAny(want[len(want)-1:], " {_t\"")
				}) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
			if lines := strings.Count(got, "\n"); len(s.want) > 0 {
				series += lines + 1
			}
			writeText(t, path, "\ufeff"+strings.ReplaceAll(text, "\n", "\r\n"))
			later := time.Now().Add(time.Second)
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
			if windows := contents(f.tick()); windows != got {
				t.Errorf("with the line ends of Windows\n%s\nwant\n%s", windows, got)
			}
			tried++
		})
	}
	t.Logf("%d of %d scripts ran and gave %d series", tried, len(collection), series)
}

// output runs a script and returns what it prints.
func (s collectionScript) output(t *testing.T, from, stubs string) string {
	t.Helper()
	command := s.run
	if command == "" {
		command = `"$script"`
	}
	line := `set -e
mount --make-rprivate /
for dir in /usr/bin /usr/sbin; do mount -t overlay overlay -o "lowerdir=$stubs:$dir" $dir; done
` + s.prepare + "\n" + command
	cmd := exec.CommandContext(t.Context(), "/usr/bin/unshare", "--mount", "/bin/bash", "-c", line)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "script=" + filepath.Join(from, s.name), "stubs=" + stubs, "HOME=/root", "PYTHONDONTWRITEBYTECODE=1"}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if s.unless[0] != "" && strings.Contains(said.String(), s.unless[0]) {
			t.Skip(s.unless[1])
		}
		t.Fatalf("%s: %v\n%s%s", s.name, err, &out, &said)
	}
	return out.String()
}

// scripts fetches the collection at its commit and returns where it is.
func scripts(t *testing.T) string {
	t.Helper()
	dir, source := t.TempDir(), scriptsURL
	if other := os.Getenv(scriptsVariable); other != "" {
		source = other
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	git := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "advice.detachedHead=false", "-c", "safe.directory=*"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	err := git("init", "-q")
	if err == nil {
		err = git("fetch", "-q", "--depth=1", source, scriptsCommit)
	}
	if err == nil {
		err = git("checkout", "-q", "FETCH_HEAD")
	}
	if err != nil {
		t.Skipf("the scripts cannot be had: %v; %s can name a clone of %s", err, scriptsVariable, scriptsURL)
	}
	return dir
}
