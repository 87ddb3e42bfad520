#!/bin/sh
# Fetches the files of sources.txt, each at its commit, to DIR/REPOSITORY/FILE:
#
#   agent/alerting/public/fetch.sh DIR
#   SYSOTEL_RULE_FILES=DIR go test -run TestGoldenRuleFiles ./agent/app -update
#
# The second line renews agent/alerting/RULE_FILES.md.
set -eu
dir=${1:?usage: fetch.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
sources=$(dirname "$0")/sources.txt
base=${SYSOTEL_RULE_SOURCES:-https://github.com}
grep -v '^#' "$sources" | while read -r _ repository commit files; do
	set -f # Git expands the patterns.
	to=$dir/$repository
	if [ ! -d "$to/.git" ]; then
		git init -q "$to"
		git -C "$to" remote add origin "$base/$repository"
		git -C "$to" fetch -q --depth 1 --filter=blob:none origin "$commit"
	fi
	for pattern in $files; do
		git -C "$to" checkout -q "$commit" -- ":(glob)$pattern"
	done
	set +f
done
