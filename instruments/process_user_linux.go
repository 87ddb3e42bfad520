package instruments

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// passwdTurn is how often /etc/passwd is looked at; it is read when it has changed.
	passwdTurn = time.Minute
	// passwdWait is how long a tick waits for it. The file can be on a server that does not
	// answer; the names of before stand then, and the new ones come later.
	passwdWait = 50 * time.Millisecond
	// maxPasswd bounds the file in bytes, maxUsers the names.
	maxPasswd = 16 << 20
	maxUsers  = 1 << 16
)

// users knows the names of users. They are read beside the tick.
type users struct {
	passwd passwd
	// known counts the times at which names have changed.
	known   uint64
	checked time.Time
	// answer is what the file is read into, nil while nothing is on its way.
	answer chan passwd
	// ids is the agent's user namespace.
	ids *userIDs
}

// passwd is /etc/passwd as it was at a time.
type passwd struct {
	names   map[uint32]string
	changed unix.Timespec
	size    int64
}

// name returns the name of a user, or the number; "" where the user is of another user
// namespace, so that the number says nothing.
func (u *users) name(h *Host, uid uint32) string {
	if u.ids == nil {
		u.ids = parseUserIDs(h.own.readText("proc/self/uid_map"))
	}
	// A machine's files that are given to a container have the machine's numbers, and the
	// processes' are seen through the container's map.
	uid, ok := u.ids.of(uid, h.root != "/")
	if !ok {
		return ""
	}
	if now := h.Now(); u.answer == nil && (u.checked.IsZero() || now.Sub(u.checked) > passwdTurn) {
		u.checked, u.answer = now, make(chan passwd, 1)
		go func(path string, before passwd, answer chan<- passwd) { answer <- before.read(path) }(h.path("etc/passwd"), u.passwd, u.answer)
		u.take(passwdWait)
	} else if u.answer != nil {
		u.take(0)
	}
	if name, ok := u.passwd.names[uid]; ok {
		return name
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// take takes the names if they are there after a while.
func (u *users) take(wait time.Duration) {
	var p passwd
	select {
	case p = <-u.answer:
	default:
		if wait == 0 {
			return
		}
		select {
		case p = <-u.answer:
		case <-time.After(wait):
			return
		}
	}
	if p.changed != u.passwd.changed || p.size != u.passwd.size {
		u.known++
	}
	u.passwd, u.answer = p, nil
}

// read reads the file unless it is as before.
func (p passwd) read(path string) passwd {
	var info unix.Stat_t
	if unix.Stat(path, &info) != nil {
		return passwd{}
	}
	if p.names != nil && info.Mtim == p.changed && info.Size == p.size {
		return p
	}
	read := passwd{names: map[uint32]string{}, changed: info.Mtim, size: info.Size}
	f, err := os.Open(path)
	if err != nil {
		return read
	}
	defer func() { _ = f.Close() }()
	text, _ := io.ReadAll(io.LimitReader(f, maxPasswd))
	for line := range bytes.Lines(text) {
		fields := bytes.SplitN(line, []byte{':'}, 4)
		if len(fields) < 4 || len(fields[0]) == 0 {
			continue
		}
		uid, err := strconv.ParseUint(string(fields[2]), 10, 32)
		if _, taken := read.names[uint32(uid)]; err == nil && !taken && len(read.names) < maxUsers {
			read.names[uint32(uid)] = cleanName(string(fields[0]))
		}
	}
	return read
}

// overflowUser is as whom the kernel shows everybody who is not in a map
// (DEFAULT_OVERFLOWUID in include/linux/highuid.h); one who is may have that number too.
const overflowUser = 65534

// userIDs is a user namespace, user_namespaces(7).
type userIDs struct {
	// ranges are the map's lines; none where every user is in it by its own number.
	ranges []idRange
}

// idRange maps count numbers from inside to those from outside.
type idRange struct{ inside, outside, count uint64 }

// parseUserIDs reads /proc/self/uid_map.
func parseUserIDs(text string) *userIDs {
	ids := &userIDs{}
	for line := range bytes.Lines([]byte(text)) {
		var r idRange
		ok := true
		for _, to := range [...]*uint64{&r.inside, &r.outside, &r.count} {
			var word []byte
			word, line = cutWord(bytes.TrimRight(line, "\n"))
			n, isNumber := parseUint(word)
			*to, ok = n, ok && isNumber
		}
		if ok {
			ids.ranges = append(ids.ranges, r)
		}
	}
	if len(ids.ranges) == 1 && ids.ranges[0] == (idRange{0, 0, 1<<32 - 1}) {
		ids.ranges = nil
	}
	return ids
}

// of is the number by which a user is known in the namespace, or outside of it.
func (ids *userIDs) of(uid uint32, outside bool) (uint32, bool) {
	if ids.ranges == nil {
		return uid, true
	}
	if uid == overflowUser {
		return 0, false
	}
	for _, r := range ids.ranges {
		if n := uint64(uid); n >= r.inside && n-r.inside < r.count {
			if outside {
				n += r.outside - r.inside
			}
			return uint32(n), true
		}
	}
	return 0, false
}
