//go:build linux

package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysotel/agent/config"
)

// children are the jobs of this program in another process. Each writes a line when
// it is ready, then one for each line of its input.
var children = map[string]func(args []string) error{
	"agent":    runChildAgent,
	"burn":     func([]string) error { return answerLines(burn) },
	"blaze":    func([]string) error { return answerLines(blaze()) },
	"touch":    func([]string) error { return answerLines(touch) },
	"write":    func([]string) error { return answerLines(write) },
	"send":     func([]string) error { return answerLines(send) },
	"frames":   func([]string) error { return answerLines(sendFrames) },
	"sink":     runSink,
	"stranger": runStranger,
}

func TestMain(m *testing.M) {
	job := children[os.Getenv(childVariable)]
	if job == nil {
		os.Exit(m.Run())
	}
	if err := job(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// answerLines writes a line for each line of standard input, until that ends.
func answerLines(f func(words []string) (any, error)) error {
	fmt.Println("{}")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		answer, err := f(strings.Fields(lines.Text()))
		if err != nil {
			return err
		}
		text, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", text)
	}
	return nil
}

// runChildAgent runs an agent with the flags of the command line until standard input
// ends. It answers each line with its number of goroutines and its heap.
func runChildAgent(args []string) error {
	c, invalid := config.Load(config.Options{Args: args})
	if len(invalid) > 0 {
		return fmt.Errorf("the configuration is invalid: %v", invalid)
	}
	a, err := New(Options{Config: c, Version: "test"})
	if err != nil {
		return err
	}
	a.Start()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- answerLines(func([]string) (any, error) {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC() // A sync.Pool survives one collection.
			runtime.ReadMemStats(&m)
			return map[string]any{"Goroutines": runtime.NumGoroutine(), "Heap": m.HeapAlloc}, nil
		})
	}()
	select {
	case <-stop.Done():
	case err = <-ended:
	case err = <-a.Failed():
	}
	return errors.Join(err, a.Stop())
}

// usage returns the CPU time of this process, from getrusage(2).
func usage() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// burn uses a processor for the given CPU seconds, at most for the given seconds. It
// answers its CPU time since the start.
func burn(words []string) (any, error) {
	cpu, wall, err := twoNumbers(words)
	if err != nil {
		return nil, err
	}
	until, deadline := usage()+cpu, time.Now().Add(time.Duration(wall*float64(time.Second)))
	for n := 0; usage() < until && time.Now().Before(deadline); {
		for range 1 << 20 {
			n++
		}
	}
	return usage(), nil
}

// touched references the memory that touch has mapped.
var touched [][]byte

// touch maps the given number of bytes and touches every page. It answers the resident
// bytes of the process, from smaps_rollup.
func touch(words []string) (any, error) {
	size, err := strconv.Atoi(words[0])
	if err != nil {
		return nil, err
	}
	memory, err := unix.Mmap(-1, 0, max(size, os.Getpagesize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	for i := 0; i < size; i += os.Getpagesize() {
		memory[i] = 1
	}
	touched = append(touched, memory)
	return residentBytes("/proc/self/smaps_rollup")
}

// residentBytes returns the line Rss of smaps_rollup.
func residentBytes(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "Rss:" {
			kibibytes, err := strconv.ParseUint(fields[1], 10, 64)
			return kibibytes << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no line Rss", path)
}

// moved counts what a child read, wrote or sent.
type moved struct{ Read, Written, Packets, Bytes uint64 }

// write writes a file of the given mebibytes past the page cache at a steady pace, at
// most for the given seconds, and reads it back the same way. When it answers, the
// data is on the device.
func write(words []string) (any, error) {
	path := words[0]
	mebibytes, seconds, err := twoNumbers(words[1:])
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	// O_DIRECT needs aligned memory; a mapping begins at a page.
	buffer, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	for i := range buffer {
		buffer[i] = byte(i * 31)
	}
	var m moved
	begun := time.Now()
	pace := time.NewTicker(time.Duration(seconds / mebibytes * float64(time.Second)))
	defer pace.Stop()
	for m.Written < uint64(mebibytes)<<20 && time.Since(begun).Seconds() < seconds {
		n, err := unix.Pwrite(fd, buffer, int64(m.Written))
		if err != nil {
			return nil, &os.PathError{Op: "write", Path: path, Err: err}
		}
		m.Written += uint64(n)
		<-pace.C
	}
	if err := unix.Fsync(fd); err != nil {
		return nil, &os.PathError{Op: "sync", Path: path, Err: err}
	}
	for m.Read < m.Written {
		n, err := unix.Pread(fd, buffer, int64(m.Read))
		if err != nil || n == 0 {
			return nil, fmt.Errorf("read %s: %d bytes, %w", path, n, err)
		}
		m.Read += uint64(n)
	}
	return m, nil
}

// send sends UDP packets to an address. Its arguments are the address, the size of the
// payload, packets per second and seconds. It answers what it sent, without headers.
func send(words []string) (any, error) {
	connection, err := net.Dial("udp4", words[0])
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	size, err := strconv.Atoi(words[1])
	if err != nil {
		return nil, err
	}
	return steadily(words[2:], make([]byte, size), func(b []byte) error {
		_, err := connection.Write(b)
		return err
	})
}

// experimental is an EtherType for experiments (IEEE 802.1). No protocol handles it, so
// the kernel drops its frames.
const experimental = 0x88B5

// sendFrames sends Ethernet frames of an unknown protocol. Its arguments are the
// interface, the hardware address, packets per second and seconds.
func sendFrames(words []string) (any, error) {
	card, err := net.InterfaceByName(words[0])
	if err != nil {
		return nil, err
	}
	to, err := net.ParseMAC(words[1])
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	frame := make([]byte, 100)
	copy(frame, to)
	copy(frame[6:], card.HardwareAddr)
	frame[12], frame[13] = experimental>>8, experimental&0xff
	address := unix.SockaddrLinklayer{Ifindex: card.Index, Halen: 6}
	copy(address.Addr[:], to)
	return steadily(words[2:], frame, func(b []byte) error { return unix.Sendto(fd, b, 0, &address) })
}

// steadily sends the same packet repeatedly. words are packets per second and seconds.
func steadily(words []string, packet []byte, send func([]byte) error) (any, error) {
	perSecond, seconds, err := twoNumbers(words)
	if err != nil {
		return nil, err
	}
	const burst = 20 // A timer per packet would cost more than the packet.
	pace := time.NewTicker(time.Duration(burst / perSecond * float64(time.Second)))
	defer pace.Stop()
	var m moved
	for begun := time.Now(); time.Since(begun).Seconds() < seconds; <-pace.C {
		for range burst {
			if err := send(packet); err != nil {
				return nil, err
			}
			m.Packets++
			m.Bytes += uint64(len(packet))
		}
	}
	return m, nil
}

// runSink receives UDP packets at an address until standard input ends, so that the
// port is open.
func runSink(args []string) error {
	connection, err := net.ListenPacket("udp4", args[0])
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			if _, _, err := connection.ReadFrom(buffer); err != nil {
				return
			}
		}
	}()
	fmt.Println("{}")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func twoNumbers(words []string) (a, b float64, err error) {
	if len(words) != 2 {
		return 0, 0, fmt.Errorf("%q are not two numbers", words)
	}
	if a, err = strconv.ParseFloat(words[0], 64); err == nil {
		b, err = strconv.ParseFloat(words[1], 64)
	}
	return a, b, err
}
