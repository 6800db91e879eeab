#!/usr/bin/env bash
# Runs every test that uses a GPU and prints a summary line a group. Needs a GPU, and the test
# programs of the gpu preset in FOLDER; the rest of the repository is their data.
#
#   tools/run_gpu_tests.sh [FOLDER [GROUP...]]     FOLDER: build/gpu/tests; GROUP: all of them
set -uo pipefail
folder=${1:-build/gpu/tests}
groups=${*:2}
failed=0
export SPATE_TEST_DEVICE=cuda
for group in ${groups:-cuda sample models engine quality ops}; do
  log=$(mktemp)
  begin=$SECONDS
  "$folder/test_$group" >"$log" 2>&1
  code=$?
  count() { sed -n "s/^\[  $1 *\] \([0-9]*\) tests\{0,1\}.*/\1/p" "$log" | head -1; }
  printf '%-8s %4s passed %4s skipped %4s failed  %4d s\n' "$group" "$(count PASSED)" \
    "$(count SKIPPED)" "$(count FAILED)" $((SECONDS - begin))
  if [ $code -ne 0 ]; then
    failed=1
    grep -E -A12 'Failure$|^\[  FAILED' "$log" | head -${SPATE_LINES:-60}
  fi
  rm -f "$log"
done
exit $failed
