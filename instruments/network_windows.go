package instruments

import (
	"context"
	"net"
	"unsafe"

	"golang.org/x/sys/windows"
)

// networkSource asks for the counters of each interface. gopsutil, which does the same,
// fails for all of them where one does not answer, and counts no multicast.
type networkSource struct{}

// ifEntry is what the system knows of an interface.
type ifEntry struct{ windows.MibIfRow2 }

// ask asks for the interface that has the index of the row.
func (row *ifEntry) ask() error {
	if code, _, _ := getIfEntry2.Call(uintptr(unsafe.Pointer(&row.MibIfRow2))); code != 0 {
		return windows.Errno(code)
	}
	return nil
}

// getIfEntry2 is of Windows Vista; GetIfEntry2Ex, which x/sys has, is not in Windows
// Server 2016.
var getIfEntry2 = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetIfEntry2")

// each calls visit for every interface. One that does not answer has unknown counters.
func (networkSource) each(ctx context.Context, _ *Host, odd *misread, visit func(name []byte, c *interfaceCounters)) error {
	found, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := ifEntry{windows.MibIfRow2{InterfaceIndex: uint32(i.Index)}}
		if err := row.ask(); err != nil {
			odd.note(i.Name, err.Error())
			unknown := trafficCounters{unknownCount, unknownCount, unknownCount, unknownCount}
			visit([]byte(i.Name), &interfaceCounters{receive: unknown, transmit: unknown})
			continue
		}
		visit([]byte(i.Name), &interfaceCounters{
			receive:  trafficCounters{row.InOctets, row.InUcastPkts + row.InNUcastPkts, row.InErrors, row.InDiscards},
			transmit: trafficCounters{row.OutOctets, row.OutUcastPkts + row.OutNUcastPkts, row.OutErrors, row.OutDiscards},
		})
	}
	return nil
}
