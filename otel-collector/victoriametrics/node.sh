#!/bin/sh
# Starts one VictoriaMetrics node; `make stack` and docker-compose.yml use it.
#
#   node.sh PROGRAM DIRECTORY LISTEN
#
# What the node does comes from the variables in all.env and in the file of its
# tier. Three things are done here because no flag does them.
set -eu
program=$1 directory=$2 listen=$3

# Loading the caches of the last run costs 60 MB of memory for good; they are made
# anew as needed.
rm -rf "$directory/cache"

# A merge drops what is older than the retention. MERGE_EVERY is the time between
# two in seconds, MERGE_FIRST that before the first; nodes without it never ask.
if [ -n "${MERGE_EVERY:-}" ]; then
	(
		wait=${MERGE_FIRST:-600}
		while sleep "$wait" && kill -0 $$ 2>/dev/null; do
			wait=$MERGE_EVERY
			url="http://127.0.0.1:${listen##*:}/internal/force_merge"
			if command -v wget >/dev/null; then wget -q -O /dev/null "$url"; else curl -sS -o /dev/null "$url"; fi ||
				echo "node.sh: the merge could not be asked for at $url; the next one is in $wait s" >&2
		done
	) &
fi

exec "$program" -envflag.enable -envflag.prefix=VM_ "-storageDataPath=$directory" "-httpListenAddr=$listen"
