package instruments

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// users knows the names in /etc/passwd.
type users struct {
	names   map[uint32]string
	checked time.Time
	changed unix.Timespec
	size    int64
}

// name returns the name of a user, or the number. The file is looked at once a
// minute at most, and read when it has changed.
func (u *users) name(h *Host, uid uint32) string {
	if now := h.Now(); u.names == nil || now.Sub(u.checked) > time.Minute {
		u.checked = now
		u.load(h)
	}
	if name, ok := u.names[uid]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(uid), 10)
	if len(u.names) < 65_536 {
		u.names[uid] = name
	}
	return name
}

func (u *users) load(h *Host) {
	var info unix.Stat_t
	err := unix.Stat(h.path("etc/passwd"), &info)
	if err == nil && u.names != nil && info.Mtim == u.changed && info.Size == u.size {
		return
	}
	u.names = map[uint32]string{}
	if err != nil {
		return
	}
	u.changed, u.size = info.Mtim, info.Size
	text, err := h.readFile("etc/passwd")
	if err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		fields := bytes.SplitN(line, []byte{':'}, 4)
		if len(fields) < 4 {
			continue
		}
		uid, err := strconv.ParseUint(string(fields[2]), 10, 32)
		if _, taken := u.names[uint32(uid)]; err == nil && !taken {
			u.names[uint32(uid)] = cleanName(string(fields[0]))
		}
	}
}
