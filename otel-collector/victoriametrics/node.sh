#!/bin/sh
# Starts one VictoriaMetrics node; `make stack` and docker-compose.yml use it.
#
#   node.sh PROGRAM DIRECTORY LISTEN
#
# Its settings are the variables in all.env and in the file of its tier. This script
# does what no flag does.
set -eu
program=$1 directory=$2 listen=$3

# Loading the caches of the last run costs 60 MB of memory permanently; they are rebuilt
# as needed.
rm -rf "$directory/cache"

# A merge drops what is older than the retention. MERGE_EVERY is the interval of forced
# merges in seconds, none if unset; MERGE_FIRST is the time until the first.
if [ -n "${MERGE_EVERY:-}" ]; then
	(
		wait=${MERGE_FIRST:-600}
		while sleep "$wait" && kill -0 $$ 2>/dev/null; do
			wait=$MERGE_EVERY
			url="http://127.0.0.1:${listen##*:}/internal/force_merge"
			if command -v wget >/dev/null; then wget -q -O /dev/null "$url"; else curl -sS -o /dev/null "$url"; fi ||
				echo "node.sh: cannot request a merge at $url; the next attempt is in $wait s" >&2
		done
	) &
fi

exec "$program" -envflag.enable -envflag.prefix=VM_ "-storageDataPath=$directory" "-httpListenAddr=$listen"
