package instruments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sysotel/instruments/sanitize"
)

// Sensors is a reading of the machine's own sensors: temperatures, fans, voltages, currents
// and power, what cools it, and its batteries and chargers. Most virtual machines have none.
type Sensors struct {
	misread

	points [][]sensorPoint
}

// sensorPoint is one number of a sensor.
type sensorPoint struct {
	of     *Metric
	value  float64
	values []string
}

var (
	hardwareID     = Key{Name: "hw.id", Help: "chip and sensor, platform_coretemp_0/temp1; or the kernel's name, thermal_zone0, cooling_device0, BAT0"}
	hardwareName   = Key{Name: "hw.name", Help: "what the driver calls it: Core 0, x86_pkg_temp; several can be called the same"}
	hardwareParent = Key{Name: "hw.parent", Help: "chip, by its device: platform_coretemp_0; left out of what is not on one"}
	hardwareLimit  = Key{Name: "hw.limit_type", Help: "low.critical, low.degraded, high.degraded, high.critical, max; emergency, target and cap as the kernel has them; .hysteresis at the end is where the alarm ends"}
	hardwareKeys   = []Key{hardwareID, hardwareName, hardwareParent}
	limitKeys      = []Key{hardwareID, hardwareName, hardwareParent, hardwareLimit}
	supplyKey      = Key{Name: "power_supply", Help: "the kernel's name: AC, BAT0"}
	supplyKinds    = Key{Name: "kind", Help: "the kernel's word: now, full, full_design, max, min, ..."}

	hardwareTemperature = &Metric{
		Name: "hw.temperature", Unit: "Cel", Kind: Gauge, Keys: hardwareKeys,
		Help: "Temperature of each sensor and thermal zone, read every 10 s.", Source: "/sys/class/hwmon/hwmonN/tempN_input, not while tempN_fault is 1; /sys/class/thermal/thermal_zoneN/temp; a drive (drivetemp) is not asked while it does nothing, and left out after 10 min of that",
	}
	hardwareTemperatureLimit = &Metric{
		Name: "hw.temperature.limit", Unit: "Cel", Kind: Gauge, Keys: limitKeys,
		Help: "Limits of the temperature of each sensor and thermal zone.", Source: "/sys/class/hwmon/hwmonN: tempN_lcrit, _min, _max, _crit, _emergency; /sys/class/thermal/thermal_zoneN: trip points that are hot or critical; those that stand for none (absolute zero, above 1000) are left out",
	}
	hardwareFan = &Metric{
		Name: "hw.fan.speed", Unit: "rpm", Kind: Gauge, Integer: true, Keys: hardwareKeys,
		Help: "Speed of each fan, read every 10 s.", Source: "/sys/class/hwmon/hwmonN/fanN_input",
	}
	hardwareFanLimit = &Metric{
		Name: "hw.fan.speed.limit", Unit: "rpm", Kind: Gauge, Integer: true, Keys: limitKeys,
		Help: "Limits of the speed of each fan.", Source: "/sys/class/hwmon/hwmonN: fanN_min, _max, _target",
	}
	hardwareFanRatio = &Metric{
		Name: "hw.fan.speed_ratio", Unit: "1", Kind: Gauge, Keys: hardwareKeys,
		Help: "What the controller of each fan gives it, of the most that it can.", Source: "/sys/class/hwmon/hwmonN/pwmN, of 255",
	}
	hardwareVoltage = &Metric{
		Name: "hw.voltage", Unit: "V", Kind: Gauge, Keys: hardwareKeys,
		Help: "Voltage at each sensor, read every 10 s.", Source: "/sys/class/hwmon/hwmonN/inN_input",
	}
	hardwareVoltageLimit = &Metric{
		Name: "hw.voltage.limit", Unit: "V", Kind: Gauge, Keys: limitKeys,
		Help: "Limits of the voltage at each sensor.", Source: "/sys/class/hwmon/hwmonN: inN_lcrit, _min, _max, _crit",
	}
	hardwareCurrent = &Metric{
		Name: "sysotel.hw.current", Unit: "A", Kind: Gauge, Keys: hardwareKeys,
		Help: "Current through each sensor, read every 10 s.", Source: "/sys/class/hwmon/hwmonN/currN_input",
	}
	hardwareCurrentLimit = &Metric{
		Name: "sysotel.hw.current.limit", Unit: "A", Kind: Gauge, Keys: limitKeys,
		Help: "Limits of the current through each sensor.", Source: "/sys/class/hwmon/hwmonN: currN_lcrit, _min, _max, _crit",
	}
	hardwarePower = &Metric{
		Name: "hw.power", Unit: "W", Kind: Gauge, Keys: hardwareKeys,
		Help: "Power through each sensor, read every 10 s.", Source: "/sys/class/hwmon/hwmonN/powerN_input",
	}
	hardwarePowerAverage = &Metric{
		Name: "sysotel.hw.power.average", Unit: "W", Kind: Gauge, Keys: hardwareKeys,
		Help: "Power through each sensor, as its chip averages it.", Source: "/sys/class/hwmon/hwmonN/powerN_average",
	}
	hardwarePowerLimit = &Metric{
		Name: "sysotel.hw.power.limit", Unit: "W", Kind: Gauge, Keys: limitKeys,
		Help: "Limits of the power through each sensor.", Source: "/sys/class/hwmon/hwmonN: powerN_max, _crit, _cap",
	}
	hardwareEnergy = &Metric{
		Name: "hw.energy", Unit: "J", Kind: Counter, Keys: hardwareKeys,
		Help: "Energy that went through each sensor.", Source: "/sys/class/hwmon/hwmonN/energyN_input",
	}
	hardwareHumidity = &Metric{
		Name: "sysotel.hw.humidity", Unit: "1", Kind: Gauge, Keys: hardwareKeys,
		Help: "Relative humidity at each sensor.", Source: "/sys/class/hwmon/hwmonN/humidityN_input",
	}
	hardwareAlarm = &Metric{
		Name: "sysotel.hw.alarm", Kind: Gauge, Integer: true,
		Keys: []Key{
			hardwareID, hardwareName, hardwareParent,
			{Name: "hw.type", Help: "temperature, fan, voltage, current, power, humidity"},
			{Name: "alarm", Help: "the kernel's word: alarm, fault, crit_alarm, max_alarm, min_alarm, lcrit_alarm, ..."},
		},
		Help: "1 while the chip says that a sensor is beyond a limit, or broken (fault), else 0.", Source: "/sys/class/hwmon/hwmonN: *_alarm, *_fault",
	}
	hardwareChip = &Metric{
		Name: "sysotel.hw.chip", Kind: Gauge, Integer: true,
		Keys: []Key{{Name: "chip", Help: "chip, by its device"}, {Name: "chip_name", Help: "its kind: coretemp, nvme"}},
		Help: "1; the chips that have sensors.", Source: "/sys/class/hwmon/hwmonN/name",
	}
	hardwareLabel = &Metric{
		Name: "sysotel.hw.sensor", Kind: Gauge, Integer: true, Keys: hardwareKeys,
		Help: "1; what the driver calls each sensor.", Source: "/sys/class/hwmon/hwmonN: *_label",
	}
	coolingState = &Metric{
		Name: "sysotel.hw.cooling.state", Kind: Gauge, Integer: true, Keys: []Key{hardwareID, hardwareName},
		Help: "How much each cooling device cools, or slows the machine down; 0 is not at all.", Source: "/sys/class/thermal/cooling_deviceN/cur_state",
	}
	coolingLimit = &Metric{
		Name: "sysotel.hw.cooling.limit", Kind: Gauge, Integer: true, Keys: []Key{hardwareID, hardwareName},
		Help: "The most that each cooling device can.", Source: "/sys/class/thermal/cooling_deviceN/max_state",
	}

	batteryCharge = &Metric{
		Name: "hw.battery.charge", Unit: "1", Kind: Gauge, Keys: []Key{hardwareID, hardwareName},
		Help: "Charge of each battery, read every 10 s.", Source: "/sys/class/power_supply/NAME/capacity",
	}
	supplyState = &Metric{
		Name: "sysotel.power_supply.state", Kind: Gauge, Integer: true,
		Keys: []Key{supplyKey, {Name: "kind", Help: "the kernel's word: online, present, authentic, calibrate, cycle_count, capacity_alert_min, capacity_alert_max"}},
		Help: "1 or 0, or a number, of each battery and charger; online is 1 while it gives power.", Source: "/sys/class/power_supply/NAME, files of these names",
	}
	supplyTime = &Metric{
		Name: "sysotel.power_supply.time", Unit: "s", Kind: Gauge, Keys: []Key{supplyKey, {Name: "kind", Help: "to_empty or to_full"}},
		Help: "Time until each battery is empty or full, where it says so.", Source: "/sys/class/power_supply/NAME: time_to_empty_now, time_to_full_now",
	}
	supplyVoltage = &Metric{
		Name: "sysotel.power_supply.voltage", Unit: "V", Kind: Gauge, Keys: []Key{supplyKey, supplyKinds},
		Help: "Voltages of each battery and charger, and their limits.", Source: "/sys/class/power_supply/NAME: voltage_now, _min, _max, _min_design, _max_design, _ocv, _boot",
	}
	supplyCurrent = &Metric{
		Name: "sysotel.power_supply.current", Unit: "A", Kind: Gauge, Keys: []Key{supplyKey, supplyKinds},
		Help: "Currents of each battery and charger, and their limits.", Source: "/sys/class/power_supply/NAME: current_now, _max, _boot, input_current_limit",
	}
	supplyPower = &Metric{
		Name: "sysotel.power_supply.power", Unit: "W", Kind: Gauge, Keys: []Key{supplyKey, supplyKinds},
		Help: "Power that each battery gives or takes.", Source: "/sys/class/power_supply/NAME/power_now",
	}
	supplyEnergy = &Metric{
		Name: "sysotel.power_supply.energy", Unit: "J", Kind: Gauge, Keys: []Key{supplyKey, supplyKinds},
		Help: "Energy in each battery, and what it holds when full.", Source: "/sys/class/power_supply/NAME: energy_now, _full, _full_design, _empty, _empty_design",
	}
	supplyCharge = &Metric{
		Name: "sysotel.power_supply.charge", Unit: "{Ah}", Kind: Gauge, Keys: []Key{supplyKey, supplyKinds},
		Help: "Charge of each battery in ampere hours, and what it holds when full.", Source: "/sys/class/power_supply/NAME: charge_now, _full, _full_design, _empty, _empty_design, _counter",
	}
	supplyTemperature = &Metric{
		Name: "sysotel.power_supply.temperature", Unit: "Cel", Kind: Gauge, Keys: []Key{supplyKey, supplyKinds},
		Help: "Temperatures of each battery, and their limits.", Source: "/sys/class/power_supply/NAME: temp, temp_min, _max, _alert_min, _alert_max, _ambient",
	}
	supplyInfo = &Metric{
		Name: "sysotel.power_supply.info", Kind: Gauge, Integer: true,
		Keys: []Key{
			supplyKey, {Name: "type", Help: "Battery, Mains, UPS, USB, Wireless"}, {Name: "status", Help: "Charging, Discharging, Not charging, Full, Unknown"},
			{Name: "capacity_level", Help: "Critical, Low, Normal, High, Full"}, {Name: "charge_type", Help: "Trickle, Fast, ..."}, {Name: "health", Help: "Good, Overheat, Dead, ..."},
			{Name: "manufacturer", Help: "who made it"}, {Name: "model_name", Help: "what they call it"}, {Name: "technology", Help: "Li-ion, ..."},
			{Name: "usb_type", Help: "C, PD, ..., the one in use in brackets"}, {Name: "scope", Help: "Device for those of a mouse or a headset"},
		},
		Help: "1; the attributes describe each battery and charger.", Source: "/sys/class/power_supply/NAME, files of these names",
	}
)

// sensorKind is a kind of a chip's files: temp1_input, temp1_crit.
type sensorKind struct {
	prefix, kind string
	of, limit    *Metric
	// scale is what a number of the file is multiplied by.
	scale float64
}

var sensorKinds = [...]sensorKind{
	{"temp", "temperature", hardwareTemperature, hardwareTemperatureLimit, 1e-3},
	{"fan", "fan", hardwareFan, hardwareFanLimit, 1},
	{"in", "voltage", hardwareVoltage, hardwareVoltageLimit, 1e-3},
	{"curr", "current", hardwareCurrent, hardwareCurrentLimit, 1e-3},
	{"power", "power", hardwarePower, hardwarePowerLimit, 1e-6},
	{"energy", "energy", hardwareEnergy, nil, 1e-6},
	{"humidity", "humidity", hardwareHumidity, nil, 1e-5},
	{"pwm", "pwm", hardwareFanRatio, nil, 1.0 / 255},
}

// sensorLimits are the values of hw.limit_type by the kernel's word.
var sensorLimits = map[string]string{
	"lcrit": "low.critical", "min": "low.degraded", "max": "high.degraded", "crit": "high.critical", "emergency": "emergency", "target": "target", "cap": "cap",
	"lcrit_hyst": "low.critical.hysteresis", "min_hyst": "low.degraded.hysteresis", "max_hyst": "high.degraded.hysteresis",
	"crit_hyst": "high.critical.hysteresis", "emergency_hyst": "emergency.hysteresis",
}

const (
	// mostSensorDevices and mostSensorPoints bound what is read: chips, zones, devices and
	// batteries, and the numbers of each.
	mostSensorDevices = 128
	mostSensorPoints  = 512
	// noTemperature is a limit that is none: absolute zero; above hottest a driver shows
	// that none is set (nvme has 65261.85).
	noTemperature, hottest = -273, 1000
)

// sensors reads the sensors. Each device is read beside the ticks and by itself: a driver can
// take milliseconds for a number, or hang.
type sensors struct {
	slow    slowLane
	devices []*sensorDevice
	more    int
}

// sensorDevice is a folder of one of the classes.
type sensorDevice struct {
	dir string
	// chip is the name of what has hwmon files, "" for others.
	chip string
	beside[sensorRead]
	seen bool
}

// sensorRead is what was read of one.
type sensorRead struct {
	misread
	points []sensorPoint
	// work is what a drive had done when its sensor was read, since when that has not changed.
	work  string
	since time.Time
}

func newSensors() Collector { return &sensors{} }

func (*sensors) Name() string { return "sensors" }

func (*sensors) Metrics() []*Metric {
	return []*Metric{
		hardwareTemperature, hardwareTemperatureLimit, hardwareFan, hardwareFanLimit, hardwareFanRatio, hardwareVoltage, hardwareVoltageLimit,
		hardwareCurrent, hardwareCurrentLimit, hardwarePower, hardwarePowerAverage, hardwarePowerLimit, hardwareEnergy, hardwareHumidity,
		hardwareAlarm, hardwareChip, hardwareLabel, coolingState, coolingLimit, batteryCharge, supplyState, supplyTime, supplyVoltage,
		supplyCurrent, supplyPower, supplyEnergy, supplyCharge, supplyTemperature, supplyInfo,
	}
}

func (s *sensors) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	now := h.Now()
	if s.slow.due(now) {
		s.look(h)
	}
	if len(s.devices) == 0 {
		return nil, ErrUnsupported
	}
	r := &Sensors{points: make([][]sensorPoint, 0, len(s.devices))}
	r.more = s.more
	for _, d := range s.devices {
		read, known := d.get(h, d.dir, now)
		if known {
			r.points = append(r.points, read.points)
			r.noteAll(read.misread)
		} else if d.seen {
			r.note("/"+d.dir, "the driver does not answer")
		}
		d.seen = d.seen || known
	}
	return r, nil
}

// look finds the devices; one that stayed keeps what was read of it.
func (s *sensors) look(h *Host) {
	before := map[string]*sensorDevice{}
	for _, d := range s.devices {
		before[d.dir] = d
	}
	s.devices, s.more = nil, 0
	add := func(dir, chip string, read func(*Host, *sensorDevice) sensorRead) {
		if len(s.devices) >= mostSensorDevices {
			s.more++
			return
		}
		d := before[dir]
		if d == nil || d.chip != chip {
			d = &sensorDevice{dir: dir, chip: chip}
			d.every = slowEvery
			d.read = func(h *Host, _ string, before sensorRead) sensorRead {
				if rested, ok := h.rests(d, before); ok {
					return rested
				}
				r := read(h, d)
				r.work, r.since = h.driveWork(d), h.Now()
				return r
			}
		}
		s.devices = append(s.devices, d)
	}
	chips, names := h.sensorChips()
	for i, dir := range chips {
		add(dir, names[i], (*Host).sensorChip)
	}
	const thermal = "sys/class/thermal/"
	for _, name := range numbered(h.list(thermal)) {
		switch {
		case strings.HasPrefix(name, "thermal_zone"):
			add(thermal+name, "", (*Host).thermalZone)
		case strings.HasPrefix(name, "cooling_device"):
			add(thermal+name, "", (*Host).coolingDevice)
		}
	}
	const supply = "sys/class/power_supply/"
	for _, name := range numbered(h.list(supply)) {
		add(supply+name, "", (*Host).powerSupply)
	}
}

// restAfter is for how long the temperature of a drive that does nothing is still told.
const restAfter = 10 * time.Minute

// rests reports whether a drive has done nothing since its sensor was read, and returns what
// is still known of it: to ask some drives for their temperature keeps them from spinning
// down (Documentation/hwmon/drivetemp.rst).
func (h *Host) rests(d *sensorDevice, before sensorRead) (sensorRead, bool) {
	if before.work == "" || before.work != h.driveWork(d) {
		return sensorRead{}, false
	}
	if h.Now().Sub(before.since) > restAfter {
		before.points, before.misread = nil, misread{}
	}
	return before, true
}

// driveWork is what a drive with a sensor of the driver drivetemp has done, by its counters;
// "" for other devices.
func (h *Host) driveWork(d *sensorDevice) string {
	if d.chip == "" || h.readText(d.dir+"/name") != "drivetemp" {
		return ""
	}
	for _, disk := range h.list(d.dir + "/device/block") {
		return h.readText(d.dir + "/device/block/" + disk + "/stat")
	}
	return ""
}

// numbered sorts names by the number at their end: temp2 before temp10.
func numbered(names []string) []string {
	slices.SortFunc(names, func(a, b string) int {
		beforeA, nA := cutNumber(a)
		beforeB, nB := cutNumber(b)
		return cmp.Or(cmp.Compare(beforeA, beforeB), cmp.Compare(nA, nB), cmp.Compare(a, b))
	})
	return names
}

// cutNumber cuts the number at the end of a name off, -1 without one.
func cutNumber(name string) (string, int) {
	before := strings.TrimRight(name, "0123456789")
	n, err := strconv.Atoi(name[len(before):])
	if err != nil {
		return name, -1
	}
	return before, n
}

// sensorName makes a name as node_exporter does: lower-case letters, digits, : and _.
func sensorName(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == ':' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(name)), "_")
}

// sensorChips are the folders of the chips, and their names, each of which is there once:
// the bus and the device, else what the driver calls itself; hwmonN depends on the order in
// which drivers were loaded.
func (h *Host) sensorChips() (dirs, names []string) {
	const class = "sys/class/hwmon/"
	type pair struct{ base, kind string }
	var pairs []pair
	count, same := map[string]int{}, map[pair]int{}
	for _, name := range numbered(h.list(class)) {
		dir, kind := class+name, sensorName(h.readText(class+name+"/name"))
		base := kind
		if device := h.real(dir + "/device"); device != "" {
			parts := strings.Split(device, "/")
			base = sensorName(parts[len(parts)-1])
			if bus := parts[max(len(parts)-2, 0)]; len(parts) > 1 && sensorName(bus) != "" {
				base = sensorName(bus) + "_" + base
			}
		}
		p := pair{cmp.Or(base, name), kind}
		count[p.base]++
		same[p]++
		dirs, pairs = append(dirs, dir), append(pairs, p)
	}
	for i, p := range pairs {
		name := p.base
		if count[name] > 1 {
			suffix := p.kind
			if suffix == "" || same[p] > 1 {
				suffix = strings.TrimPrefix(dirs[i], class)
			}
			name += "_" + suffix
		}
		names = append(names, name)
	}
	return dirs, names
}

// number reads a file of one number. What the driver has no answer for at the moment is
// unknown by itself; a file that is not there is no fault.
func (r *sensorRead) number(h *Host, name string) float64 {
	text, err := h.readOnce(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.lost("/"+name, err)
		}
		return unknown
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	const most = 1 << 53 // Above it a number of a driver is none, and is not exact.
	if err != nil || n < -most || n > most {
		r.note("/"+name, notNumber(text))
		return unknown
	}
	return float64(n)
}

// word reads a file of one line for an attribute.
func (h *Host) word(name string) string {
	text, err := h.readOnce(name)
	if err != nil {
		return ""
	}
	return sanitize.EscapeControl(strings.TrimSpace(string(text)))
}

// add takes a number that is known.
func (r *sensorRead) add(of *Metric, value float64, values ...string) {
	switch {
	case math.IsNaN(value):
	case value < 0 && !isSigned(of), of.Unit == "1" && value > 1:
		r.note(strings.Join(append([]string{of.Name}, values...), " "), fmt.Sprintf("%v cannot be", value))
	case len(r.points) >= mostSensorPoints:
		r.more++
	default:
		r.points = append(r.points, sensorPoint{of, value, values})
	}
}

// isSigned reports whether a metric of sensors can be below 0: temperatures, what flows both
// ways, and a device that says -1 while it does not cool.
func isSigned(m *Metric) bool {
	return m == coolingState || m == inventorySELinuxMode || slices.Contains([]string{"Cel", "A", "V", "W", "{Ah}"}, m.Unit)
}

// sensorFile is a file of a chip: temp1_input.
type sensorFile struct {
	kind          *sensorKind
	sensor        string
	element, path string
}

// sensorFiles lists the files of a chip; old drivers have them with the device.
func (h *Host) sensorFiles(dir string) (files []sensorFile) {
	for _, in := range [...]string{dir + "/", dir + "/device/"} {
		for _, name := range numbered(h.list(in)) {
			sensor, element, _ := strings.Cut(name, "_")
			prefix, number := cutNumber(sensor)
			i := slices.IndexFunc(sensorKinds[:], func(k sensorKind) bool { return k.prefix == prefix })
			if i < 0 || number < 0 || slices.ContainsFunc(files, func(f sensorFile) bool { return f.sensor == sensor && f.element == element }) {
				continue
			}
			files = append(files, sensorFile{&sensorKinds[i], sensor, element, in + name})
			if len(files) >= mostSensorPoints {
				return files
			}
		}
	}
	return files
}

// sensorChip reads a folder of /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst).
func (h *Host) sensorChip(d *sensorDevice) (r sensorRead) {
	if kind := sensorName(h.readText(d.dir + "/name")); kind != "" {
		r.add(hardwareChip, 1, d.chip, kind)
	}
	files := h.sensorFiles(d.dir)
	labels, broken := map[string]string{}, map[string]bool{}
	for i := range files {
		f := &files[i]
		switch f.element {
		case "label":
			if label := h.word(f.path); label != "" {
				labels[f.sensor] = label
				r.add(hardwareLabel, 1, d.chip+"/"+f.sensor, label, d.chip)
			}
		case "fault":
			broken[f.sensor] = r.number(h, f.path) == 1
		}
	}
	for i := range files {
		f := &files[i]
		id, label := d.chip+"/"+f.sensor, labels[f.sensor]
		limit, isLimit := sensorLimits[f.element]
		switch {
		case f.kind.prefix == "pwm" && f.element == "", f.kind.prefix != "pwm" && f.element == "input":
			if !broken[f.sensor] {
				r.add(f.kind.of, r.number(h, f.path)*f.kind.scale, id, label, d.chip)
			}
		case f.kind.prefix == "power" && f.element == "average":
			r.add(hardwarePowerAverage, r.number(h, f.path)*f.kind.scale, id, label, d.chip)
		case isLimit && f.kind.limit != nil:
			if f.kind.prefix == "fan" && limit == "high.degraded" {
				limit = "max"
			}
			value := r.number(h, f.path) * f.kind.scale
			if f.kind.limit != hardwareTemperatureLimit || isTemperatureLimit(value) {
				r.add(f.kind.limit, value, id, label, d.chip, limit)
			}
		case f.element == "alarm", f.element == "fault", strings.HasSuffix(f.element, "_alarm"):
			r.add(hardwareAlarm, r.number(h, f.path), id, label, d.chip, f.kind.kind, sensorName(f.element))
		}
	}
	return r
}

// isTemperatureLimit reports whether a limit is one.
func isTemperatureLimit(celsius float64) bool { return celsius > noTemperature && celsius < hottest }

// thermalZone reads a zone (Documentation/driver-api/thermal/sysfs-api.rst).
func (h *Host) thermalZone(d *sensorDevice) (r sensorRead) {
	id, kind := d.dir[strings.LastIndexByte(d.dir, '/')+1:], h.word(d.dir+"/type")
	r.add(hardwareTemperature, r.number(h, d.dir+"/temp")/1e3, id, kind, "")
	const mostTrips = 12
	done := map[string]bool{}
	for i := range mostTrips {
		trip := d.dir + "/trip_point_" + strconv.Itoa(i)
		limit := map[string]string{"critical": "high.critical", "hot": "high.degraded"}[h.word(trip+"_type")]
		if limit == "" || done[limit] {
			continue
		}
		if value := r.number(h, trip+"_temp") / 1e3; isTemperatureLimit(value) {
			r.add(hardwareTemperatureLimit, value, id, kind, "", limit)
			done[limit] = true
		}
	}
	return r
}

// coolingDevice reads a fan or what slows the machine down.
func (h *Host) coolingDevice(d *sensorDevice) (r sensorRead) {
	id, kind := d.dir[strings.LastIndexByte(d.dir, '/')+1:], h.word(d.dir+"/type")
	r.add(coolingState, r.number(h, d.dir+"/cur_state"), id, kind)
	r.add(coolingLimit, r.number(h, d.dir+"/max_state"), id, kind)
	return r
}

// supplyFile is a file of a battery or a charger, as a number of a metric, and what it is
// multiplied by. Name is that of node_exporter, whose values are Factor times ours.
type supplyFile struct {
	file   string
	of     *Metric
	kind   string
	scale  float64
	name   string
	factor float64
}

var supplyFiles = func() (all []supplyFile) {
	for _, file := range [...]string{"online", "present", "authentic", "calibrate", "cycle_count", "capacity_alert_min", "capacity_alert_max"} {
		all = append(all, supplyFile{file, supplyState, file, 1, strings.ReplaceAll(file, "cycle_count", "cyclecount"), 1})
	}
	all = append(all, supplyFile{"time_to_empty_now", supplyTime, "to_empty", 1, "time_to_empty_seconds", 1}, supplyFile{"time_to_full_now", supplyTime, "to_full", 1, "time_to_full_seconds", 1})
	micro := func(of *Metric, base, now string, scale, factor float64, kinds ...string) {
		all = append(all, supplyFile{base + "_now", of, "now", scale, base + "_" + now, factor})
		for _, kind := range kinds {
			all = append(all, supplyFile{base + "_" + kind, of, kind, scale, base + "_" + kind, factor})
		}
	}
	micro(supplyVoltage, "voltage", "volt", 1e-6, 1, "min", "max", "min_design", "max_design", "ocv", "boot")
	micro(supplyCurrent, "current", "ampere", 1e-6, 1, "max", "boot")
	micro(supplyPower, "power", "watt", 1e-6, 1)
	micro(supplyEnergy, "energy", "watthour", 3600e-6, 1.0/3600, "full", "full_design", "empty", "empty_design")
	micro(supplyCharge, "charge", "ampere", 1e-6, 1, "full", "full_design", "empty", "empty_design", "counter")
	all = append(all, supplyFile{"input_current_limit", supplyCurrent, "input_limit", 1e-6, "input_current_limit", 1})
	for _, kind := range [...]string{"", "min", "max", "alert_min", "alert_max", "ambient", "ambient_min", "ambient_max"} {
		file := strings.TrimSuffix("temp_"+kind, "_")
		all = append(all, supplyFile{file, supplyTemperature, cmp.Or(kind, "now"), 0.1, file + "_celsius", 1})
	}
	return all
}()

// powerSupply reads a battery or a charger (Documentation/ABI/testing/sysfs-class-power).
func (h *Host) powerSupply(d *sensorDevice) (r sensorRead) {
	name := sanitize.EscapeControl(d.dir[strings.LastIndexByte(d.dir, '/')+1:])
	there := map[string]bool{}
	for _, file := range h.list(d.dir) {
		there[file] = true
	}
	if len(there) == 0 {
		return r // It was pulled out.
	}
	word := func(file string) string {
		if !there[file] {
			return ""
		}
		return h.word(d.dir + "/" + file)
	}
	model := word("model_name")
	if there["capacity"] {
		r.add(batteryCharge, r.number(h, d.dir+"/capacity")/100, name, model)
	}
	for i := range supplyFiles {
		if f := &supplyFiles[i]; there[f.file] {
			r.add(f.of, r.number(h, d.dir+"/"+f.file)*f.scale, name, f.kind)
		}
	}
	r.add(supplyInfo, 1, name, word("type"), word("status"), word("capacity_level"), word("charge_type"), word("health"),
		word("manufacturer"), model, word("technology"), word("usb_type"), word("scope"))
	return r
}

// Report implements Reading.
func (s *Sensors) Report(o *Observer) {
	for _, points := range s.points {
		reportPoints(o, points)
	}
}

func reportPoints(o *Observer, points []sensorPoint) {
	for i := range points {
		if p := &points[i]; p.of.Integer {
			o.Int(p.of, int64(p.value), p.values...)
		} else {
			o.Float(p.of, p.value, p.values...)
		}
	}
}
