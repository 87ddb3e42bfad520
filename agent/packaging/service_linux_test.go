package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sysotel/instruments/permissions"
)

// unitFile is the path of the unit below the top directory.
const unitFile = "agent/packaging/sysotel.service"

// analyzer returns the path of systemd-analyze. Without it the test is skipped, and
// fails in CI.
func analyzer(t *testing.T) string {
	t.Helper()
	const path = "/usr/bin/systemd-analyze"
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing: apt-get install systemd; .ci/run does", path)
		}
		t.Skip("needs systemd-analyze, which knows what systemd understands")
	}
	return path
}

// TestUnit: systemd accepts every line of the unit.
func TestUnit(t *testing.T) {
	analyze := analyzer(t)
	// It checks that the program exists, which is not installed here.
	unit := filepath.Join(t.TempDir(), "sysotel.service")
	text := strings.Replace(read(t, unitFile), "/usr/local/bin/sysotel", "/bin/true", 2)
	verify := func(text string) (string, error) {
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput()
		return string(said), err
	}
	if said, err := verify(text); err != nil || strings.Contains(said, "sysotel.service") {
		t.Errorf("%v\n%s", err, said)
	}
	if said, _ := verify(strings.Replace(text, "ProtectHome=", "ProtectHouse=", 1)); !strings.Contains(said, "ProtectHouse") {
		t.Errorf("systemd-analyze accepts an unknown word:\n%s", said)
	}
}

// TestCapabilities: the unit and the compose file grant exactly the capabilities that
// sysotel check asks for. That they are enough is tested with the command.
func TestCapabilities(t *testing.T) {
	want := sorted(regexp.MustCompile(`CAP_\w+`).FindAllString(permissions.NeedsRoot, -1))
	unit := read(t, unitFile)
	for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(unit)
		if m == nil {
			t.Fatalf("the unit has no %s", key)
		}
		if got := sorted(strings.Fields(m[1])); !slices.Equal(got, want) {
			t.Errorf("the unit has %s=%v, the agent needs %v", key, got, want)
		}
	}
	var got []string
	for _, c := range services(t)["agent"].CapAdd {
		got = append(got, "CAP_"+c)
	}
	if got = sorted(got); !slices.Equal(got, want) {
		t.Errorf("the compose file grants %v, the agent needs %v", got, want)
	}
}

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}

// exposed lists what systemd-analyze finds open in the unit, and what would be lost without
// it. What is not listed must be closed.
var exposed = map[string]string{
	"CapabilityBoundingSet_CAP_DAC_FOWNER_IPC_OWNER": "file systems below private directories, I/O of other users' processes",
	"CapabilityBoundingSet_CAP_SYS_PTRACE":           "I/O of other users' processes, file systems that the service itself does not have",
	"CapabilityBoundingSet_CAP_SYSLOG":               "OOM kills, from the kernel log",
	"ProtectKernelLogs":                              "OOM kills, from the kernel log",
	"DeviceAllow":                                    "the kernel log, and the clock that ProtectClock allows to be read",
	"AmbientCapabilities":                            "the capabilities, for a user that is not root",
	"ProtectHome":                                    "file systems below /home; it is read-only",
	"ProtectProc":                                    "processes of other users",
	"ProcSubset":                                     "everything in /proc but the processes",
	"PrivateUsers":                                   "the names of users",
	"PrivateNetwork":                                 "the machine's network: it is measured, served and pushed over",
	"RootDirectoryOrRootImage":                       "the machine's file systems",
	"RestrictAddressFamilies_AF_NETLINK":             "connections, and who holds the other end of one",
	"RestrictAddressFamilies_AF_UNIX":                "sysotel.sock",
	"RestrictAddressFamilies_AF_INET_INET6":          "the API, the push, channels",
	"IPAddressDeny":                                  "receivers and clients anywhere; add one where you know yours",
	"SystemCallFilter_privileged":                    "rotation of log files, which calls chown; the rest of @privileged is closed",
}

// mostExposed is the score of the unit, in tenths: the sum of what is listed above.
const mostExposed = 25

// TestExposure: the unit closes everything without which nothing is lost.
func TestExposure(t *testing.T) {
	analyze := analyzer(t)
	unit := filepath.Join(t.TempDir(), "sysotel.service")
	score := func(text string) (open []string, within bool) {
		t.Helper()
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--no-pager", "--json=short", unit).Output()
		if err != nil {
			t.Fatal(err)
		}
		var found []struct {
			Field    string `json:"json_field"`
			Exposure *string
		}
		if err := json.Unmarshal(said, &found); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		for _, f := range found {
			if f.Exposure != nil {
				open = append(open, f.Field)
			}
		}
		threshold := "--threshold=" + strconv.Itoa(mostExposed)
		return open, exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--no-pager", threshold, unit).Run() == nil
	}
	text := read(t, unitFile)
	open, within := score(text)
	if !within {
		t.Errorf("the score is above %.1f", mostExposed/10.0)
	}
	for _, field := range open {
		if exposed[field] == "" {
			t.Errorf("%s is open, and nothing says what would be lost without it", field)
		}
	}
	for field := range exposed {
		if !slices.Contains(open, field) {
			t.Errorf("%s is closed, so that what it was open for is lost or the list is old", field)
		}
	}
	if open, within = score(strings.Replace(text, "ProtectClock=yes\n", "", 1)); within || !slices.Contains(open, "ProtectClock") {
		t.Error("the test does not notice what is open")
	}
}
