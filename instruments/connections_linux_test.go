package instruments

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSockstat(t *testing.T) {
	for _, c := range []struct {
		what  string
		files []string
		want  Sockets
		found bool
	}{
		{
			what: "both families",
			files: []string{
				"sockets: used 290\nTCP: inuse 7 orphan 1 tw 2 alloc 9 mem 3\nUDP: inuse 4 mem 5\nUDPLITE: inuse 100\nRAW: inuse 100\nFRAG: inuse 100 memory 0\n",
				"TCP6: inuse 20\nUDP6: inuse 30\nUDPLITE6: inuse 100\nRAW6: inuse 100\nFRAG6: inuse 100 memory 0\n",
			},
			want: Sockets{TCPInUse: 27, TCPOrphans: 1, TCPTimeWait: 2, TCPAllocated: 9, UDPInUse: 34}, found: true,
		},
		{what: "words unheard of", files: []string{"TCP: inuse 7 new 5 orphan 1\nXTCP: inuse 9\n"}, want: Sockets{TCPInUse: 7, TCPOrphans: 1}, found: true},
		{
			what:  "numbers that are none",
			files: []string{"TCP: inuse many orphan 1 tw -1 alloc 18446744073709551615\nUDP: inuse 3\n", "TCP6: inuse 4\nUDP6: inuse 99999999999999999999999\n"},
			want:  Sockets{TCPInUse: unknownCount, TCPOrphans: 1, TCPTimeWait: unknownCount, TCPAllocated: unknownCount, UDPInUse: unknownCount}, found: true,
		},
		{what: "a name without a number", files: []string{"TCP: inuse"}, want: Sockets{TCPInUse: unknownCount}, found: true},
		{what: "nothing", files: []string{""}},
	} {
		t.Run(c.what, func(t *testing.T) {
			var got Sockets
			found := false
			for _, text := range c.files {
				found = parseSockstat([]byte(text), &got) || found
			}
			if got != c.want || found != c.found {
				t.Errorf("got %+v %v, want %+v %v", got, found, c.want, c.found)
			}
		})
	}
}

func FuzzParseSockstat(f *testing.F) {
	f.Add("sockets: used 290\nTCP: inuse 7 orphan 1 tw 2 alloc 9 mem 3\nUDP: inuse 4 mem 5\n")
	f.Add("TCP6: inuse 20\nUDP6: inuse")
	f.Fuzz(func(t *testing.T, text string) {
		var got Sockets
		if found := parseSockstat([]byte(text), &got); !found && got != (Sockets{}) {
			t.Errorf("%q: numbers %+v from nothing", text, got)
		}
	})
}

const tcpTitles = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// tcpLine is a line of /proc/net/tcp with the state in hexadecimal.
func tcpLine(state string) string {
	return "   0: 0100007F:1F90 00000000:0000 " + state + " 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0\n"
}

func TestParseTCPTable(t *testing.T) {
	text := tcpTitles
	for _, state := range []string{"01", "01", "02", "03", "04", "05", "06", "06", "06", "07", "08", "09", "0A", "0a", "0B", "0C", "7F"} {
		text += tcpLine(state)
	}
	var c tcpCounts
	if err := parseTCPTable([]byte(text), &c); err != nil || c[0] != 0 {
		t.Fatal(c, err)
	}
	want := []ConnectionCount{
		{"ESTABLISHED", 2},
		{"SYN_SENT", 1},
		{"SYN_RECV", 2},
		{"FIN_WAIT1", 1},
		{"FIN_WAIT2", 1},
		{"TIME_WAIT", 3},
		{"CLOSE", 1},
		{"CLOSE_WAIT", 1},
		{"LAST_ACK", 1},
		{"LISTEN", 2},
		{"CLOSING", 1},
	}
	if got := c.counts(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, line := range []string{"   0: 0100007F:1F90 00000000:0000\n", tcpLine("1"), tcpLine("0G"), tcpLine("G0"), "garbage\n"} {
		if err := parseTCPTable([]byte(tcpTitles+line), &c); err == nil {
			t.Errorf("%q was taken", line)
		}
		var one tcpCounts
		if err := parseTCPTable([]byte(tcpTitles+line+tcpLine("0A")), &one); err != nil || one[0] != 1 || one[10] != 1 {
			t.Errorf("%q beside another: %v, %v", line, err, one)
		}
	}
}

func FuzzParseTCPTable(f *testing.F) {
	f.Add(tcpTitles + tcpLine("01") + tcpLine("0A"))
	f.Add("\n   0:")
	f.Fuzz(func(t *testing.T, text string) {
		var c tcpCounts
		err := parseTCPTable([]byte(text), &c)
		sum := uint64(0)
		for _, n := range c {
			sum += n
		}
		if lines := uint64(strings.Count(text, "\n") + 1); err == nil && sum > lines {
			t.Errorf("%q: %d sockets in %d lines", text, sum, lines)
		}
	})
}

// message is a netlink message with a body of so many bytes.
func message(kind, flags uint16, seq uint32, body []byte) []byte {
	b := make([]byte, netlinkHeader, netlinkHeader+len(body)+3)
	binary.NativeEndian.PutUint32(b[0:], uint32(netlinkHeader+len(body)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], seq)
	b = append(b, body...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func socket(state byte, attributes int) []byte {
	b := make([]byte, inetDiagAnswer+attributes)
	b[0], b[1] = unix.AF_INET, state
	return b
}

func errorNumber(e unix.Errno) []byte {
	b := make([]byte, 4)
	binary.NativeEndian.PutUint32(b, uint32(-int32(e)))
	return b
}

func TestParseInetDiag(t *testing.T) {
	const seq = 7
	one := message(tcpDiagGetSock, unix.NLM_F_MULTI, seq, socket(1, 0))
	for _, c := range []struct {
		what        string
		datagram    []byte
		done, whole bool
		want        map[int]uint64
		wrong       error
		wrongText   string
	}{
		{
			what: "sockets with attributes of odd sizes",
			datagram: slices.Concat(one, message(tcpDiagGetSock, unix.NLM_F_MULTI, seq, socket(10, 5)),
				message(tcpDiagGetSock, unix.NLM_F_MULTI, seq, socket(12, 8)), one),
			whole: true, want: map[int]uint64{1: 2, 10: 1, 3: 1},
		},
		{what: "the end", datagram: message(unix.NLMSG_DONE, 0, seq, errorNumber(0)), done: true, whole: true},
		{what: "the end after sockets", datagram: slices.Concat(one, message(unix.NLMSG_DONE, 0, seq, errorNumber(0))), done: true, whole: true, want: map[int]uint64{1: 1}},
		{what: "an error", datagram: message(unix.NLMSG_ERROR, 0, seq, errorNumber(unix.ENOENT)), done: true, whole: true, wrong: unix.ENOENT},
		{what: "an error at the end", datagram: message(unix.NLMSG_DONE, 0, seq, errorNumber(unix.ENOMEM)), done: true, whole: true, wrong: unix.ENOMEM},
		{what: "a table that changed", datagram: message(tcpDiagGetSock, unix.NLM_F_DUMP_INTR, seq, socket(1, 0)), want: map[int]uint64{1: 1}},
		{what: "the answer to an older question", datagram: slices.Concat(message(tcpDiagGetSock, 0, seq-1, socket(1, 0)),
			message(unix.NLMSG_DONE, 0, seq-1, errorNumber(0)), one), whole: true, want: map[int]uint64{1: 1}},
		{what: "half a header", datagram: one[:10], whole: true, wrongText: "10 bytes"},
		{what: "half a socket", datagram: one[:40], whole: true, wrongText: "claims 88 bytes"},
		{what: "a socket that is too short", datagram: message(tcpDiagGetSock, 0, seq, make([]byte, 20)), whole: true, wrongText: "20 bytes"},
		{what: "a size of nothing", datagram: make([]byte, netlinkHeader), whole: true, wrongText: "claims 0 bytes"},
		{what: "an error without a number", datagram: message(unix.NLMSG_ERROR, 0, seq, nil), done: true, whole: true, wrongText: "no error number"},
		{what: "nothing", whole: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			var counts tcpCounts
			done, whole, err := parseInetDiag(c.datagram, seq, &counts)
			if done != c.done || whole != c.whole {
				t.Errorf("done %v, whole %v, want %v, %v", done, whole, c.done, c.whole)
			}
			switch {
			case c.wrong != nil && !errors.Is(err, c.wrong), c.wrongText != "" && (err == nil || !strings.Contains(err.Error(), c.wrongText)),
				c.wrong == nil && c.wrongText == "" && err != nil:
				t.Errorf("error is %v, want %v%s", err, c.wrong, c.wrongText)
			}
			var want tcpCounts
			for state, n := range c.want {
				want[state] = n
			}
			if counts != want {
				t.Errorf("counted %v, want %v", counts, want)
			}
		})
	}
}

func FuzzParseInetDiag(f *testing.F) {
	f.Add(message(tcpDiagGetSock, unix.NLM_F_MULTI, 7, socket(1, 5)))
	f.Add(message(unix.NLMSG_DONE, 0, 7, errorNumber(0)))
	f.Add(message(unix.NLMSG_ERROR, 0, 7, errorNumber(unix.EPERM))[:18])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		var c tcpCounts
		_, _, _ = parseInetDiag(datagram, 7, &c)
		sum := uint64(0)
		for _, n := range c {
			sum += n
		}
		if sum > uint64(len(datagram)/(netlinkHeader+inetDiagAnswer)) {
			t.Errorf("%d sockets in %d bytes", sum, len(datagram))
		}
	})
}

// countTable is an independent count of a table of /proc by state.
func countTable(t *testing.T, names ...string) map[uint64]uint64 {
	t.Helper()
	counts := map[uint64]uint64{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) && strings.HasSuffix(name, "6") {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			state, err := strconv.ParseUint(strings.Fields(line)[3], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			counts[state]++
		}
	}
	return counts
}

// TestNetlinkAgreesWithProc opens sockets whose states are known, and compares
// what netlink counts with the tables of /proc. Other programs open sockets too:
// only a count between two equal tables is compared.
func TestNetlinkAgreesWithProc(t *testing.T) {
	const pairs = 5
	before := countTable(t, "/proc/net/tcp", "/proc/net/tcp6")
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil && strings.HasPrefix(address, "[") {
			t.Logf("this machine has no IPv6: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		for range pairs {
			client, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			server, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = server.Close() }()
		}
	}
	var s connectionSource
	for range 2000 {
		first := countTable(t, "/proc/net/tcp", "/proc/net/tcp6")
		got, err := s.netlinkTCP(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if second := countTable(t, "/proc/net/tcp", "/proc/net/tcp6"); !reflect.DeepEqual(first, second) {
			continue
		}
		for state := uint64(1); state < uint64(len(got)); state++ {
			want := first[state]
			if state == synReceived {
				want += first[newSynReceived]
			}
			if state != newSynReceived && got[state] != want {
				t.Errorf("%d sockets in state %d by netlink, %d in /proc", got[state], state, want)
			}
		}
		if got[1] < 2*pairs || got[10] < 1 {
			t.Errorf("%d established and %d listening sockets, but the test has %d and 1 itself (before: %v)", got[1], got[10], 2*pairs, before)
		}
		return
	}
	t.Error("the machine's sockets changed between all of 2000 looks")
}

// A fixture, and a machine whose network namespace is another, are read from
// their files and never over netlink, which would count the agent's own sockets.
func TestConnectionsOfAnotherRoot(t *testing.T) {
	files := netDev("eth0 1 1")
	files["proc/1/net/tcp"] = tcpTitles + tcpLine("0A") + tcpLine("01")
	files["proc/1/net/tcp6"] = tcpTitles + tcpLine("0A") + tcpLine("06")
	files["proc/1/net/sockstat"] = "TCP: inuse 7 orphan 1 tw 2 alloc 9 mem 3\nUDP: inuse 4 mem 5\n"
	files["proc/1/net/sockstat6"] = "TCP6: inuse 20\nUDP6: inuse 30\n"
	b := newBench(t, files)
	f := newNetwork(Defaults())
	want := map[string]float64{
		"system.network.connections{tcp,LISTEN}": 2, "system.network.connections{tcp,ESTABLISHED}": 1, "system.network.connections{tcp,TIME_WAIT}": 1,
		// All states are reported, 0 where there are no sockets.
		"system.network.connections{tcp,CLOSING}": 0, "system.network.connections{tcp,SYN_RECV}": 0, "system.network.connections{tcp,CLOSE}": 0,
		"sysotel.network.sockets{tcp,inuse}": 27, "sysotel.network.sockets{tcp,orphan}": 1,
		"sysotel.network.sockets{tcp,time_wait}": 2, "sysotel.network.sockets{tcp,alloc}": 9, "sysotel.network.sockets{udp,inuse}": 34,
	}
	wantPoints(t, b.tick(f), want)

	// States are counted every 10 s, totals at each tick.
	b.write(map[string]string{"proc/1/net/tcp": tcpTitles, "proc/1/net/sockstat": "TCP: inuse 8 orphan 0 tw 0 alloc 8 mem 3\nUDP: inuse 0 mem 5\n"})
	want["sysotel.network.sockets{tcp,inuse}"], want["sysotel.network.sockets{tcp,orphan}"] = 28, 0
	want["sysotel.network.sockets{tcp,time_wait}"], want["sysotel.network.sockets{tcp,alloc}"], want["sysotel.network.sockets{udp,inuse}"] = 0, 8, 30
	for range 9 {
		wantPoints(t, b.tick(f), want)
	}
	want["system.network.connections{tcp,LISTEN}"], want["system.network.connections{tcp,ESTABLISHED}"] = 1, 0
	wantPoints(t, b.tick(f), want)

	// What cannot be counted is missing, with a reason, and costs nothing else.
	b.write(map[string]string{"proc/1/net/tcp": tcpTitles + "garbage\n"})
	b.remove("proc/1/net/sockstat")
	b.now = b.now.Add(connectionsEvery)
	r := b.tick(newNetwork(Defaults())).(*Network)
	if r.TCP != nil || !strings.Contains(r.Reason, "garbage") || r.Sockets != nil || len(r.Interfaces) != 1 {
		t.Errorf("with broken files: %+v", r)
	}
	b.remove("proc/1/net/tcp6") // A kernel without IPv6.
	b.write(map[string]string{"proc/1/net/tcp": tcpTitles + tcpLine("0A")})
	wantPoints(t, b.tick(newNetwork(Defaults())), map[string]float64{"system.network.connections{tcp,LISTEN}": 1})
}

// The table of interfaces that cannot be read costs no connections, which come from other
// files; when it can be read again the counters go on.
func TestConnectionsWithoutInterfaces(t *testing.T) {
	files := netDev("eth0 1 1")
	files["proc/1/net/sockstat"] = "TCP: inuse 7 orphan 1 tw 2 alloc 9 mem 3\nUDP: inuse 4 mem 5\n"
	b := newBench(t, files)
	f := newNetwork(Defaults())
	b.tick(f)
	b.write(map[string]string{"proc/1/net/dev": "garbage\n"})
	r := b.tick(f).(*Network)
	wantPoints(t, r, map[string]float64{"sysotel.network.sockets{tcp,inuse}": 7, "sysotel.network.sockets{udp,inuse}": 4})
	missing := r.Missing()
	if len(missing) != 1 || missing[0].Subject != "/proc/net/dev" || missing[0].Hidden || !math.IsNaN(r.Total.BytesReceivedPerSecond) || len(r.Interfaces) != 0 {
		t.Errorf("without interfaces: %+v", r)
	}
	b.write(map[string]string{"proc/1/net/sockstat": "garbage\n"})
	if _, err := b.try(f); err == nil {
		t.Error("a reading without interfaces and connections is no error")
	}
	b.write(netDev("eth0 1001 1"))
	if r := b.tick(f).(*Network); r.Total.BytesReceivedPerSecond != 1000.0/3 || len(r.Missing()) != 0 {
		t.Errorf("three seconds later: %+v", r)
	}
}

// The tables are opened anew each time, and must be closed each time.
func TestConnectionsLeaveNothingOpen(t *testing.T) {
	b := newBench(t, map[string]string{"proc/1/net/tcp": tcpTitles, "proc/1/net/tcp6": tcpTitles})
	open := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for _, h := range []*Host{b.host, NewHost("/")} {
		var s connectionSource
		before := open()
		for range 50 {
			if _, err := s.tcp(t.Context(), h); err != nil {
				t.Fatal(err)
			}
		}
		if after := open(); after > before+10 {
			t.Errorf("%d files are open after 50 counts, %d were before", after, before)
		}
	}
}

func TestNetlinkReaches(t *testing.T) {
	b := newBench(t, nil)
	if b.host.netlinkReaches() {
		t.Error("a recorded machine would be asked over netlink")
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	b.write(map[string]string{"proc/1/ns/net": "-> " + own})
	if h := NewHost(b.host.root); !h.netlinkReaches() {
		t.Error("a container in the machine's network would not ask over netlink")
	}
	b.remove("proc/1/ns/net")
	b.write(map[string]string{"proc/1/ns/net": "-> net:[1]"})
	if h := NewHost(b.host.root); h.netlinkReaches() {
		t.Error("a container in a network of its own would count its own sockets")
	}
	if !NewHost("/").netlinkReaches() {
		t.Error("this machine would not be asked over netlink")
	}
}

// The words of the semantic conventions for states are their own.
func TestConnectionStatesInSemconv(t *testing.T) {
	want := []string{
		"established", "syn_sent", "syn_received", "fin_wait_1", "fin_wait_2", "time_wait",
		"closed", "close_wait", "last_ack", "listen", "closing",
	}
	for i, state := range tcpStates {
		set := networkConnections.Attributes(Semconv, "tcp", state)
		if got, ok := set.Value("network.connection.state"); !ok || got.AsString() != want[i] {
			t.Errorf("%s is %q, want %q", state, got.AsString(), want[i])
		}
		if got, ok := set.Value("network.transport"); !ok || got.AsString() != "tcp" {
			t.Errorf("the protocol is %q", got.AsString())
		}
	}
}

func BenchmarkConnections(b *testing.B) {
	var s connectionSource
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.netlinkTCP(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
