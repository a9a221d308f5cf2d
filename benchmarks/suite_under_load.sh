#!/usr/bin/env bash
# Runs the tests N times beside L endless loops, one after the other: what came out, and how long it
# took. benchmarks/suite_under_load.sh [N=3] [L=2] [TARGET=test-all]; L=0 measures an idle machine.
# Ends with 1 where any run was red.
set -uo pipefail
cd "$(dirname "$0")/.."
times="${1:-3}" loops="${2:-2}" target="${3:-test-all}"

make .venv/dev .venv/package >/dev/null || exit 2  # installing is not what is measured
pids=()
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}"' EXIT
for ((i = 0; i < loops; i++)); do
  sh -c 'while :; do :; done' &
  pids+=($!)
done

log="$(mktemp)"
red=0
echo "$(date -u +%FT%TZ) make $target, $times times, on $(nproc) cores, beside $loops endless loops"
for ((i = 1; i <= times; i++)); do
  load="$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null || echo '?')"
  start=$SECONDS
  make "$target" >"$log" 2>&1
  code=$?
  took=$((SECONDS - start))
  [ "$code" = 0 ] || red=1
  echo "run $i: exit $code, $((took / 60)) min $((took % 60)) s, load $load at its start"
  grep -E '^(FAILED|ERROR)|(passed|failed|error).* in [0-9.]+s' "$log" | sed 's/^/  /'
done
cp "$log" "${TMPDIR:-/tmp}/suite_under_load.log"
exit "$red"
