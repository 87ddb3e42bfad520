# The package of RPM, installed by rpm itself under systemd. It is not Fedora, which is not
# to be had everywhere, but the scripts, the order in which they run and the files are.
# old.rpm, new.rpm and the unit for an installation by hand are in the current directory.
set -eux

not() { # not COMMAND: it must fail
	if "$@"; then return 1; fi
}
ask() { # ask PATH: the answer of the agent's API
	exec 3<>/dev/tcp/127.0.0.1/8080
	printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
	cat <&3
}
running() { # running VERSION
	for _ in $(seq 30); do
		if sysotel health >/dev/null 2>&1; then break; fi
		sleep 1
	done
	systemctl is-active sysotel
	sysotel version | grep -F "$1"
}
start_event() { ask /api/v1/events | grep -o '"time":"[^"]*","kind":"start"' | tail -n 1; }

# Install: the user and the directories are there; the presets say whether it is enabled.
rpm --install --nodeps old.rpm
rpm --query --configfiles sysotel | grep -x /etc/sysotel/sysotel.yaml
[ "$(stat -c %U:%a /var/lib/sysotel)" = sysotel:700 ]
[ "$(stat -c %U:%a /var/backups/sysotel)" = sysotel:700 ]
systemctl enable --now sysotel
running v1.2.3
[ "$(ps -o user= -p "$(systemctl show -P MainPID sysotel)")" = sysotel ]
started=$(start_event)

# Upgrade: settings and data stay, and the new one runs.
echo 'log: {level: debug}' >/etc/sysotel/sysotel.yaml
rpm --upgrade --nodeps new.rpm
running v1.3.0
ask /api/v1/events | grep -F "$started"
grep -F debug /etc/sysotel/sysotel.yaml

# Downgrade.
rpm --upgrade --nodeps --oldpackage old.rpm
running v1.2.3
ask /api/v1/events | grep -F "$started"

# Remove: data and settings stay.
rpm --erase sysotel
not systemctl is-active sysotel
not [ -e /usr/bin/sysotel ]
[ -d /var/lib/sysotel/store ]
grep -F debug /etc/sysotel/sysotel.yaml.rpmsave
rpm --install --nodeps new.rpm
systemctl start sysotel
running v1.3.0
ask /api/v1/events | grep -F "$started"
rpm --erase sysotel
rm -rf /var/lib/sysotel
userdel sysotel

# Over an agent that was installed by hand, whose user exists while it runs.
PATH=/usr/local/bin:$PATH
mkdir by-hand
(cd by-hand && rpm2cpio ../new.rpm | cpio --quiet --extract --make-directories --no-absolute-filenames)
install by-hand/usr/bin/sysotel /usr/local/bin/
install -m 644 sysotel.service /usr/lib/systemd/system/
systemctl daemon-reload
systemctl start sysotel
running v1.3.0
[ -L /var/lib/sysotel ]
started=$(start_event)
rpm --install --nodeps new.rpm
grep '^sysotel:' /etc/passwd
rm /usr/local/bin/sysotel
hash -r
running v1.3.0
[ "$(readlink /proc/"$(systemctl show -P MainPID sysotel)"/exe)" = /usr/bin/sysotel ]
[ "$(stat -c %F:%U:%a /var/lib/sysotel)" = directory:sysotel:700 ]
ask /api/v1/events | grep -F "$started"
rpm --erase sysotel
[ "$(systemctl --failed --no-legend | wc -l)" = 0 ]
echo everything held
