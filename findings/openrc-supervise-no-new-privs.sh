#!/bin/bash
# OpenRC: a service with no_new_privs=yes cannot be started by supervise-daemon.
#
# Version:  openrc 0.45.2-2+deb12u1 of Debian 12.
# Expected: the variable no_new_privs becomes an option of the program, with either supervisor.
# Observed: start-stop-daemon.sh passes --no-new-privs, supervise-daemon.sh --no_new_privs, with
#           underscores. The program knows the one with hyphens only and ends with its usage, so the
#           service fails whatever its command is. supervise_daemon_args can carry the right option.
# Output:   start-stop-daemon.sh passes --no-new-privs
#           supervise-daemon.sh passes --no_new_privs
#           supervise-daemon lists --no-new-privs
#           --no_new_privs: unrecognized option
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
apt-get -q download openrc=0.45.2-2+deb12u1 librc1=0.45.2-2+deb12u1 libeinfo1=0.45.2-2+deb12u1 >/dev/null 2>&1
for package in *.deb; do
	dpkg -x "$package" root
done
libraries=$(find root -name '*.so.1' -exec dirname {} \; | sort -u | paste -sd:)
supervise() { LD_LIBRARY_PATH=$libraries RC_SVCNAME=demo root/sbin/supervise-daemon "$@" 2>&1 || true; }
got=$(
	for script in start-stop-daemon.sh supervise-daemon.sh; do
		echo "$script passes $(grep -oE -e '--no.new.privs' root/lib/rc/sh/$script)"
	done
	echo "supervise-daemon lists $(supervise demo --help | grep -oE -e '--no.new.privs')"
	echo "--no_new_privs: $(supervise demo --start --no_new_privs --pidfile pid -- /bin/true | grep -oE 'unrecognized option' | head -1)"
)
echo "$got"
[ "$got" = "start-stop-daemon.sh passes --no-new-privs
supervise-daemon.sh passes --no_new_privs
supervise-daemon lists --no-new-privs
--no_new_privs: unrecognized option" ]
