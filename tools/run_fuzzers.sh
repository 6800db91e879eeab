#!/usr/bin/env bash
# Runs every fuzz target of a build for some seconds, starting from its corpus.
# Usage: tools/run_fuzzers.sh BUILD_FOLDER SECONDS
set -euo pipefail

build=$1
seconds=$2
root=$(cd "$(dirname "$0")/.." && pwd)
count=0
for target in "$build"/tests/fuzz_*; do
  [ -x "$target" ] && [ -f "$target" ] || continue
  name=$(basename "$target" | sed 's/^fuzz_//')
  found=$build/found/$name
  mkdir -p "$found"
  log=$build/found/$name.log
  if ! "$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 \
      -artifact_prefix="$build/found/$name-" "$found" "$root/tests/fuzz/corpus/$name" >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz $name FAILED; the input that did it is in $build/found" >&2
    exit 1
  fi
  grep -E '^Done|DONE' "$log" | tail -n 1 | sed "s/^/fuzz $name: /"
  count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "no fuzz targets in $build/tests" >&2; exit 1; }
echo "$count fuzz targets ran $seconds s each and found nothing"
