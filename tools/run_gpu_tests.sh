#!/usr/bin/env bash
# Runs every test that uses a GPU and prints a summary line a group. Needs a GPU, and the test
# programs of the gpu preset in FOLDER; the rest of the repository is their data. Tests that look at
# the GPU's memory run alone, the others in a few processes side by side.
#
#   tools/run_gpu_tests.sh [FOLDER [GROUP...]]     FOLDER: build/gpu/tests; GROUP: all of them
#
# SPATE_SECONDS: how long a process may take; one that takes longer fails, with the test it was in.
set -uo pipefail
folder=${1:-build/gpu/tests}
groups=${*:2}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0
export SPATE_TEST_DEVICE=cuda

# start GROUP SHARDS PROGRAM FILTER: runs in the background
declare -A processes
start() {
  local group=$1 shards=$2
  processes[$group]=
  for ((shard = 0; shard < shards; shard++)); do
    (
      begin=$SECONDS
      GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard \
        timeout "${SPATE_SECONDS:-1200}" "$folder/$3" --gtest_filter="$4" \
        >"$logs/$group.$shard" 2>&1
      echo "$? $((SECONDS - begin))" >"$logs/$group.$shard.end"
    ) &
    processes[$group]+=" $!"
  done
}

# report GROUP: waits for its processes and adds up what they say
report() {
  local group=$1 codes=0 seconds=0
  wait ${processes[$group]} 2>/dev/null # some were waited for when they began
  count() {
    sed -n "s/^\[  $1 *\] \([0-9]*\) tests\{0,1\}.*/\1/p" "$logs/$group".? |
      awk '{ sum += $1 } END { print sum + 0 }'
  }
  for end in "$logs/$group".?.end; do
    read -r code took <"$end"
    codes=$((codes + code))
    [ "$took" -gt "$seconds" ] && seconds=$took
    [ "$code" -eq 124 ] && echo "$group was cut off after $took s in:" &&
      grep -F '[ RUN      ]' "${end%.end}" | tail -1
  done
  # gtest names the number of failed tests and of skipped ones only where there are any.
  printf '%-8s %4s passed %4s skipped %4s failed  %4d s\n' "$group" "$(count PASSED)" \
    "$(count SKIPPED)" "$(count FAILED)" "$seconds"
  if [ $codes -ne 0 ]; then
    failed=1
    grep -h -E -A12 'Failure$|^\[  FAILED' "$logs/$group".? | head -"${SPATE_LINES:-60}"
  fi
}

groups=${groups:-cuda memory sample models engine quality ops}
for group in $groups; do
  case $group in
    cuda) start cuda 1 test_cuda '*' && wait ;;
    memory) start memory 1 test_engine 'GpuMemory.*' && wait ;;
    engine) start engine 7 test_engine '-GpuMemory.*' ;;
    ops) start ops 5 test_ops '*' ;;
    sample) start sample 3 test_sample '*' ;;
    *) start "$group" 1 "test_$group" '*' ;;
  esac
done
for group in $groups; do report "$group"; done
exit $failed
