#!/bin/bash
# Linux procfs: hidepid=2 hides nothing from a user whose group is 0.
#
# Version:  Linux 6.18; the kernel that it runs on is printed. Needs root, for mounts of its own.
# Expected: with hidepid=2 and no gid= an unprivileged user sees its own processes only; gid= names
#           a group that is exempt, and none is named.
# Observed: gid= begins as 0, and 0 is a group as any other: every user in group 0 is exempt, as the
#           arbitrary users of containers are whose platform puts them there. A collector tried as such a
#           user sees the whole machine, and nothing of it under another group. gid= of an unused
#           group ends that, and so does hidepid=ptraceable, which knows no group.
# Output:   hidepid=2, group 0: process 1 is seen
#           hidepid=2, group 12345: process 1 is not seen
#           hidepid=2,gid=54321, group 0: process 1 is not seen
#           hidepid=ptraceable, group 0: process 1 is not seen
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
mkdir "$dir/proc"
look() { # OPTIONS GROUP
	unshare --mount sh -c '
		mount -t proc -o "$1" proc "$3/proc"
		setpriv --reuid 12345 --regid "$2" --clear-groups sh -c "
			if [ -d $3/proc/1 ]; then seen=is\ seen; else seen=is\ not\ seen; fi
			echo \"$1, group $2: process 1 \$seen\""' sh "$1" "$2" "$dir"
}
{
	look hidepid=2 0
	look hidepid=2 12345
	look hidepid=2,gid=54321 0
	look hidepid=ptraceable 0
} | tee "$dir/got"
uname -r
diff - "$dir/got" <<'E'
hidepid=2, group 0: process 1 is seen
hidepid=2, group 12345: process 1 is not seen
hidepid=2,gid=54321, group 0: process 1 is not seen
hidepid=ptraceable, group 0: process 1 is not seen
E
