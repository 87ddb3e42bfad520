package instruments

import (
	"bytes"
	"errors"
	"io/fs"
)

// sequence is a number of the kernel's that no other device gets: the diskseq of a disk
// (Linux 5.15), the ifindex of an interface. A device can be replaced under its name
// within a tick, and only this number shows it.
type sequence struct {
	text string
	file *file
	// lacking is set where there is no such file.
	lacking bool
}

// changed reads the number in the file dir/name/leaf and reports whether it is another
// one than before. The file stays open where keep is set.
func (q *sequence) changed(h *Host, dir, name, leaf string, keep bool) bool {
	if q.lacking {
		return false
	}
	if q.file == nil {
		q.file = h.open(dir + "/" + name + "/" + leaf)
	}
	text, err := q.file.read()
	if err != nil {
		q.lacking = q.text == "" && errors.Is(err, fs.ErrNotExist)
		return false
	}
	changed := false
	if text = bytes.TrimSpace(text); string(text) != q.text {
		changed = q.text != ""
		q.text = string(text)
	}
	if !keep {
		q.file.close()
		q.file = nil
	}
	return changed
}
