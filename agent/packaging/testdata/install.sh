# What the README says of installation, run in a clean Debian under its own systemd.
# old.deb, new.deb and the unit for an installation by hand are in the current directory.
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

# An agent that was installed by hand, whose user exists while it runs, in the place of the
# package's unit and in the administrator's: the package has a user that lasts, and its data.
PATH=/usr/local/bin:$PATH
mkdir by-hand
dpkg-deb -x new.deb by-hand
for units in /usr/lib/systemd/system /etc/systemd/system; do
	userdel sysotel 2>/dev/null || true
	install by-hand/usr/bin/sysotel /usr/local/bin/
	install -m 644 sysotel.service $units/
	systemctl daemon-reload
	systemctl start sysotel
	running v1.3.0
	[ -L /var/lib/sysotel ]
	not grep '^sysotel:' /etc/passwd
	started=$(ask /api/v1/events | grep -o '"time":"[^"]*","kind":"start"' | tail -n 1)
	apt-get install -y ./new.deb 2>&1 | tee said
	grep '^sysotel:' /etc/passwd
	running v1.3.0
	if [ $units = /etc/systemd/system ]; then
		grep -F 'stands before the unit of this package' said
		rm $units/sysotel.service
		systemctl daemon-reload
		systemctl restart sysotel
		running v1.3.0
	else
		not grep -F 'stands before' said
	fi
	rm /usr/local/bin/sysotel
	hash -r
	[ "$(readlink /proc/"$(systemctl show -P MainPID sysotel)"/exe)" = /usr/bin/sysotel ]
	[ "$(stat -c %F:%U:%a /var/lib/sysotel)" = directory:sysotel:700 ]
	ask /api/v1/events | grep -F "$started"
	apt-get purge -y sysotel
	[ ! -e /var/lib/sysotel ]
	[ ! -e /var/lib/private/sysotel ]
done
[ "$(systemctl --failed --no-legend | wc -l)" = 0 ]
echo everything held
