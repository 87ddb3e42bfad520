package instruments

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// sensorTree makes chips with so many temperatures each.
func sensorTree(t testing.TB, chips, temperatures int) string {
	t.Helper()
	tree := t.TempDir()
	for c := range chips {
		dir := filepath.Join(tree, "sys/class/hwmon/hwmon"+strconv.Itoa(c))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("name", "chip"+strconv.Itoa(c))
		for i := range temperatures {
			name := "temp" + strconv.Itoa(i+1)
			write(name+"_input", strconv.Itoa(40000+i))
			write(name+"_crit", "100000")
		}
	}
	return tree
}

// temperatures are those of a reading by the id of the sensor.
func temperatures(r Reading) map[string]float64 {
	all := map[string]float64{}
	if r != nil {
		Visit(r, func(m *Metric, v float64, values []string) {
			if m == hardwareTemperature {
				all[values[0]] = v
			}
		})
	}
	return all
}

// TestSensorsWithoutAnswer: a sensor whose driver says that it has no number now, or that
// cannot be read, is unknown by itself and named; the others of its chip stand.
func TestSensorsWithoutAnswer(t *testing.T) {
	tree := sensorTree(t, 1, 3)
	dir := filepath.Join(tree, "sys/class/hwmon/hwmon0")
	// A pipe that somebody writes to and that is empty says EAGAIN, a folder EISDIR.
	for _, name := range []string{"temp1_input", "temp2_input"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "temp1_input"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(filepath.Join(dir, "temp1_input"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	if err := os.Mkdir(filepath.Join(dir, "temp2_input"), 0o700); err != nil {
		t.Fatal(err)
	}
	h := NewHost(tree)
	r := h.sensorChip(&sensorDevice{dir: "sys/class/hwmon/hwmon0", chip: "chip0"})
	got := temperatures(&Sensors{points: [][]sensorPoint{r.points}})
	if len(got) != 1 || got["chip0/temp3"] != 40.002 {
		t.Errorf("temperatures are %v, want that of temp3", got)
	}
	want := []Missing{
		{Subject: "/sys/class/hwmon/hwmon0/temp1_input", Reason: "read: resource temporarily unavailable"},
		{Subject: "/sys/class/hwmon/hwmon0/temp2_input", Reason: "read: is a directory"},
	}
	if missing := r.Missing(); len(missing) != 2 || missing[0] != want[0] || missing[1] != want[1] {
		t.Errorf("missing are %v, want %v", missing, want)
	}
}

// TestSensorsThatHang: a driver that does not return costs its own chip, which is named when
// what is known of it is too old, and no other.
func TestSensorsThatHang(t *testing.T) {
	tree := sensorTree(t, 2, 1)
	synctest.Test(t, func(t *testing.T) {
		h, c := NewHost(tree), newSensors().(*sensors)
		read := func() (Reading, []Missing) {
			r, err := c.Read(context.Background(), h, Tick{Time: time.Now(), Interval: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return r, r.(Partial).Missing()
		}
		read()
		r, missing := read()
		if got := temperatures(r); len(got) != 2 || len(missing) != 0 {
			t.Fatalf("before: %v, %v", got, missing)
		}
		release := make(chan struct{})
		c.devices[0].read = func(*Host, string, sensorRead) sensorRead {
			<-release
			return sensorRead{}
		}
		for range 2*besideLasts + 1 {
			time.Sleep(slowEvery / 2)
			r, missing = read()
		}
		if got := temperatures(r); len(got) != 1 || got["chip1/temp1"] != 40 {
			t.Errorf("temperatures are %v, want that of chip1", got)
		}
		if len(missing) != 1 || missing[0].Subject != "/sys/class/hwmon/hwmon0" || missing[0].Reason != "the driver does not answer" {
			t.Errorf("missing are %v", missing)
		}
		close(release)
		synctest.Wait()
	})
}

// TestSensorsLetDrivesRest: a drive that does nothing is not asked for its temperature, which
// could keep it from spinning down, and has none after a while; one that works has it.
func TestSensorsLetDrivesRest(t *testing.T) {
	tree := sensorTree(t, 1, 1)
	dir := filepath.Join(tree, "sys/class/hwmon/hwmon0")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("name", "drivetemp")
	write("device/block/sda/stat", "1 0 8 0 0 0 0 0")
	synctest.Test(t, func(t *testing.T) {
		h, c := NewHost(tree), newSensors()
		// After is what is told so long afterwards.
		after := func(d time.Duration) (told []float64) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				time.Sleep(slowEvery)
				r, err := c.Read(context.Background(), h, Tick{Time: time.Now(), Interval: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				told = told[:0]
				for _, v := range temperatures(r) {
					told = append(told, v)
				}
			}
			return told
		}
		is := func(when string, got []float64, want ...float64) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: temperatures are %v, want %v", when, got, want)
			}
		}
		is("at first", after(3*slowEvery), 40)
		write("temp1_input", "35000")
		is("while it rests", after(3*slowEvery), 40)
		is("after it has rested", after(2*restAfter))
		write("device/block/sda/stat", "2 0 16 0 0 0 0 0")
		is("when it works", after(3*slowEvery), 35)
	})
}

// TestSensorsAreBounded: more devices, and more numbers of one, than are read are said.
func TestSensorsAreBounded(t *testing.T) {
	h := NewHost(sensorTree(t, mostSensorDevices+5, 1))
	c := newSensors().(*sensors)
	if _, err := c.Read(context.Background(), h, Tick{}); err != nil {
		t.Fatal(err)
	}
	if len(c.devices) != mostSensorDevices || c.more != 5 {
		t.Errorf("%d devices are read and %d are not", len(c.devices), c.more)
	}
	r := NewHost(sensorTree(t, 1, mostSensorPoints)).sensorChip(&sensorDevice{dir: "sys/class/hwmon/hwmon0", chip: "chip0"})
	if len(r.points) != mostSensorPoints || len(r.Missing()) == 0 {
		t.Errorf("%d numbers are read, missing are %v", len(r.points), r.Missing())
	}
}

// BenchmarkSensors is what a tick costs with 8 chips of 16 temperatures, but for what is read
// beside it.
func BenchmarkSensors(b *testing.B) { benchmarkSensors(b, 8) }

// BenchmarkSensorsOfNone is what it costs on a machine without sensors.
func BenchmarkSensorsOfNone(b *testing.B) { benchmarkSensors(b, 0) }

func benchmarkSensors(b *testing.B, chips int) {
	h, c := NewHost(sensorTree(b, chips, 16)), newSensors()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = c.Read(b.Context(), h, Tick{}) // Without sensors it is ErrUnsupported.
	}
}
