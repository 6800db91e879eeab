#!/usr/bin/env bash
# Runs every fuzz target of a build for some seconds, starting from its corpus; as many at once as
# there are processors. Usage: tools/run_fuzzers.sh BUILD_FOLDER SECONDS
set -euo pipefail

build=$1
seconds=$2
root=$(cd "$(dirname "$0")/.." && pwd)

run_one() {
  local target=$1 name found log
  name=$(basename "$target" | sed 's/^fuzz_//')
  found=$build/found/$name
  log=$build/found/$name.log
  mkdir -p "$found"
  if ! "$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 \
      -artifact_prefix="$build/found/$name-" "$found" "$root/tests/fuzz/corpus/$name" >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz $name FAILED; the input that did it is in $build/found" >&2
    return 1
  fi
  grep -E '^Done' "$log" | tail -n 1 | sed "s/^/fuzz $name: /"
}
export -f run_one
export build seconds root

mapfile -t targets < <(find "$build/tests" -maxdepth 1 -name 'fuzz_*' -type f -perm -u+x | sort)
[ ${#targets[@]} -gt 0 ] || { echo "no fuzz targets in $build/tests" >&2; exit 1; }
printf '%s\0' "${targets[@]}" | xargs -0 -P "$(nproc)" -I '{}' bash -c 'set -euo pipefail; run_one {}'
echo "${#targets[@]} fuzz targets ran $seconds s each and found nothing"
