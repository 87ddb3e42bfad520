# What the README says of installation, run in a clean Debian under its own systemd.
# old.deb and new.deb are in the current directory.
set -eux

# The machine has no network, and the program needs no other package.
echo 'APT::Install-Recommends "false";' >/etc/apt/apt.conf.d/90alone

ask() { # ask PATH: the answer of the agent's API
	exec 3<>/dev/tcp/127.0.0.1/8080
	printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
	cat <&3
}
not() { # not COMMAND: it must fail
	if "$@"; then return 1; fi
}
running() { # running VERSION
	for _ in $(seq 30); do
		if sysotel health >/dev/null 2>&1; then break; fi
		sleep 1
	done
	systemctl is-active sysotel
	sysotel version | grep -F "$1"
}

# Install: it runs at once and after each boot, as its own user.
apt-get install -y ./old.deb
running v1.2.3
systemctl is-enabled sysotel
[ "$(stat -c %U:%a /var/lib/sysotel)" = sysotel:700 ]
[ "$(ps -o user= -p "$(systemctl show -P MainPID sysotel)")" = sysotel ]
started=$(ask /api/v1/events | grep -o '"time":"[^"]*","kind":"start"' | tail -n 1)

# Upgrade: settings and data stay, and it is the new one that runs.
echo 'log: {level: debug}' >/etc/sysotel/sysotel.yaml
apt-get install -y ./new.deb
running v1.3.0
ask /api/v1/events | grep -F "$started"
grep -F debug /etc/sysotel/sysotel.yaml

# Back up, which the unit lets the agent do there only.
sysotel backup /var/backups/sysotel/monday
[ -d /var/backups/sysotel/monday/store ]

# Downgrade: data that it can read it reads, and it names what it cannot.
dpkg -i old.deb
running v1.2.3
ask /api/v1/events | grep -F "$started"
systemctl stop sysotel
echo 2 >/var/lib/sysotel/store/format
not systemctl start sysotel
journalctl -u sysotel --no-pager | grep -F '/var/lib/sysotel/store was written by a newer sysotel (format 2'

# Restore.
systemctl stop sysotel
rm -r /var/lib/sysotel
cp -r /var/backups/sysotel/monday /var/lib/sysotel
chown -R sysotel: /var/lib/sysotel
systemctl start sysotel
running v1.2.3
ask /api/v1/events | grep -F "$started"

# Remove: data and settings stay, and are there again.
apt-get remove -y sysotel
not [ -e /usr/bin/sysotel ]
[ -d /var/lib/sysotel/store ]
[ -f /etc/sysotel/sysotel.yaml ]
apt-get install -y ./new.deb
running v1.3.0
ask /api/v1/events | grep -F "$started"

# What the administrator disabled stays disabled in an upgrade.
systemctl disable sysotel
apt-get install -y --reinstall ./new.deb
not systemctl is-enabled sysotel

# Purge: nothing but backups is left.
apt-get purge -y sysotel
not systemctl is-active sysotel
[ ! -e /var/lib/sysotel ]
[ ! -e /etc/sysotel ]
[ -d /var/backups/sysotel/monday ]
[ "$(systemctl --failed --no-legend | wc -l)" = 0 ]
echo everything held
