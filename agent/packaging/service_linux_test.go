package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sysotel/instruments/permissions"
)

// unitFile is the path of the unit below the top directory.
const unitFile = "agent/packaging/sysotel.service"

// TestUnit: systemd accepts every line of the unit.
func TestUnit(t *testing.T) {
	const analyze = "/usr/bin/systemd-analyze"
	if _, err := os.Stat(analyze); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing: apt-get install systemd; .ci/run does", analyze)
		}
		t.Skip("needs systemd-analyze, which knows what systemd understands")
	}
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
