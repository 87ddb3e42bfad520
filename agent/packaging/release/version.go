package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// version is what a commit is called. Each package format has its own order of
// versions; in all of them a pre-release stands before the release of its name, and
// commits after a tag behind it, in their order.
type version struct {
	// name is as git says it and as the program says: v1.2.3, v1.2.3-5-gabc1234, or
	// abc1234 where no commit has a tag.
	name string
	// release is 1.2.3, 0.0.0 without a tag; pre is rc.1 of v1.2.3-rc.1.
	release, pre string
	// commits counts those since the tag, hash is the last of them, "" for a tag.
	commits int
	hash    string
	dirty   bool
}

// described is what `git describe --tags --long --dirty` prints.
var described = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-([0-9A-Za-z.]+))??(?:-(\d+)-g([0-9a-f]+))?(-dirty)?$`)

// parseVersion reads a version as git describes it. Without a tag it is a hash, and
// commits counts the whole history.
func parseVersion(name string, commits int) (version, error) {
	if m := described.FindStringSubmatch(name); m != nil {
		v := version{name: name, release: m[1], pre: m[2], hash: m[4], dirty: m[5] != ""}
		if m[3] != "" {
			v.commits, _ = strconv.Atoi(m[3])
		}
		return v, nil
	}
	if hash := strings.TrimSuffix(name, "-dirty"); regexp.MustCompile(`^[0-9a-f]{7,}$`).MatchString(hash) {
		return version{name: name, release: "0.0.0", commits: commits, hash: hash, dirty: hash != name}, nil
	}
	return version{}, fmt.Errorf("%q is not a version: want v1.2.3, v1.2.3-rc.1, or what git describe makes of it", name)
}

// debian is the version of Debian's packages and of RPM's. A dash would stand before
// the release, so there is none.
func (v version) debian() string {
	s := v.release
	if v.pre != "" {
		s += "~" + v.pre
	}
	if v.hash != "" {
		s += fmt.Sprintf("+%d.g%s", v.commits, v.hash)
	}
	if v.dirty {
		s += "+dirty"
	}
	return s
}

// alpine is the version of Alpine's packages, which knows only fixed words: a tag's
// pre-release must be alpha, beta or rc, and a number.
func (v version) alpine() string {
	s := v.release
	if v.pre != "" {
		s += "_" + strings.ReplaceAll(v.pre, ".", "")
	}
	if v.hash != "" || v.dirty {
		s += fmt.Sprintf("_p%d", v.commits)
	}
	return s
}

// file is the version in names of files and images.
func (v version) file() string {
	return strings.NewReplacer("~", "-", "+", "-").Replace(v.debian())
}

// readCommit returns the version and the time of the commit that is checked out. given,
// if not empty, stands for the version.
func readCommit(ctx context.Context, given string) (version, time.Time, error) {
	git := func(args ...string) (string, error) {
		// The checkout may belong to another user.
		out, err := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...).Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	var commits, seconds int64
	for _, number := range []struct {
		of   *int64
		args []string
	}{
		{&commits, []string{"rev-list", "--count", "HEAD"}},
		{&seconds, []string{"log", "-1", "--format=%ct"}},
	} {
		text, err := git(number.args...)
		if err != nil {
			return version{}, time.Time{}, err
		}
		if *number.of, err = strconv.ParseInt(text, 10, 64); err != nil {
			return version{}, time.Time{}, err
		}
	}
	if given == "" {
		var err error
		// All have the same length of hashes, whatever else the repository has.
		if given, err = git("describe", "--tags", "--always", "--dirty", "--abbrev=12", "--match", "v[0-9]*"); err != nil {
			return version{}, time.Time{}, err
		}
	}
	v, err := parseVersion(given, int(commits))
	return v, time.Unix(seconds, 0).UTC(), err
}
