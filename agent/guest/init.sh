#!/bin/busybox sh
# The first process of a guest. It mounts what every system has and then runs the scripts
# that come in over the second serial port, one a line in base64, and answers each with a
# line: exit code, output in base64. Under systemd it is a service and mounts nothing.
bb=/bin/busybox
if [ $$ = 1 ]; then
	$bb mkdir -p /proc /sys /dev /run /tmp /mnt /etc /root /var/lib
	$bb mount -t proc proc /proc
	$bb mount -t sysfs sys /sys
	$bb mount -t devtmpfs dev /dev
	$bb mount -t tmpfs run /run
	$bb mount -t cgroup2 cgroup /sys/fs/cgroup
	exec </dev/null >/dev/console 2>&1
fi
$bb --install -s /bin 2>/dev/null
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ip link set lo up

exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
echo ready >&3
while read -r line <&3; do
	echo "$line" | base64 -d >/run/script
	/bin/sh /run/script </dev/null >/run/output 2>&1
	code=$?
	echo "$code $(base64 /run/output | tr -d '\n')" >&3
	# A script can name another root and what begins there.
	if [ -f /run/root ]; then
		read -r root first </run/root
		umount -l /run /sys/fs/cgroup /sys /dev /proc
		exec switch_root "$root" "$first"
	fi
done
