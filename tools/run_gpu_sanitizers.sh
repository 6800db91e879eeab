#!/usr/bin/env bash
# Runs every tool of compute-sanitizer over a fixed, reduced list of tests, all at once, and prints a
# summary line a tool and group. Needs a GPU and the test programs of the gpu preset in FOLDER.
#
#   tools/run_gpu_sanitizers.sh [FOLDER [GROUP...]]     FOLDER: build/gpu/tests; GROUP: all of them
#
# SPATE_TOOLS names some of the tools, SPATE_SECONDS how long each may take with a group.
set -uo pipefail
folder=${1:-build/gpu/tests}
chosen=${*:2}
export SPATE_TEST_DEVICE=cuda
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -1)
if [ -z "$sanitizer" ]; then
  echo "compute-sanitizer is not here: it comes with the CUDA toolkit" >&2
  exit 1
fi

attention=Cases/AttentionTest.MatchesThePlainLoops
shared=SharedKeys/AttentionTest.MatchesThePlainLoops
tests_of() {
  case $1 in
    ops)
      echo "Embed.*:GatherRows.*:TakeDrawn.*:Add.*:Scale.*:Gated.MatchesThePlainActivations:\
RandomWeights.*:RmsNorm.MatchesThePlainNorm:AddRmsNorm.*:GatedGroupNorm.*:RopeApply.MatchesThePlainRotation:KvWrite.*:\
QkvNormRopeWrite.*:Attention.NoRows" ;;
    attention)
      echo "$attention/smollm2:$attention/width_20:$attention/width_80:$attention/many_all_128:\
$attention/tiled_all_96:\
$attention/single_all_64:$attention/single_256:$attention/group_17:$attention/tree_all_64:\
$attention/segments_of_one:$attention/single_all_96_e4m3:$attention/many_96_e4m3:\
$attention/apart_64:$attention/apart_64_e4m3:$shared/width_80_all:$shared/nested" ;;
    latents) echo "$attention/latent_20:$attention/latent_96_all" ;;
    linear)
      echo "Linear.NoRowsIsFine:Linear.OtherRowsDoNotSeeANan:LinearQkv.*:\
LinearF8.FusedProductsAreTheirParts" ;;
    wide) echo "Linear.TakesWideWeights" ;;
    gated) echo "Choices/JoinedGated.AgreesWithItsMeaning/gpu_bf16_hopper" ;;
    experts) echo "Route.*:GroupPairs.*:ExpertSum.*:GateRows.*:ExpertMlp.ATokens*:LinearHeads.*" ;;
    states) echo "LinearAttention.GoesOn*:LinearAttention.RowsAndTokensMayBeMissing" ;;
    sampling)
      echo "Penalize.*:LogitEdit.*:KeepOnly.*:MaskTop.MinPIsRelative:\
MaskTop.KeepsTheSmallestSetThatReachesTopP:Draw.GreedyTakesTheFirstOfEqualLogits:\
Draw.NothingToDrawIsMinusOne:Logprobs.OfNoTokenAreMinusInfinity" ;;
    engine) echo "*AWarmEngineNeitherAllocatesNorWaits" ;;
    models) echo "*qwen3_gpu_bf16:*llama_gpu_f32:*deepseek3_experts_gpu_bf16:*bailing_moe_linear2_gpu_bf16" ;;
  esac
}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
check() {
  local tool=$1 group=$2 program=test_ops kernels=
  [ "$group" = engine ] && program=test_cuda
  [ "$group" = models ] && program=test_models
  # cuBLASLt's split products do what these tools take for errors.
  [[ "$group" =~ linear|wide ]] && kernels="--kernel-name kns=spate"
  local begin=$SECONDS
  timeout "${SPATE_SECONDS:-400}" "$sanitizer" --tool "$tool" --error-exitcode 9 $kernels \
    "$folder/$program" --gtest_filter="$(tests_of "$group")" >"$logs/$tool.$group" 2>&1
  echo "$? $((SECONDS - begin))" >"$logs/$tool.$group.end"
}

# Places beyond 2^31 are for the tools that look at addresses.
groups=${chosen:-ops attention latents linear wide gated experts states sampling engine models}
groups_of() {
  case $1 in
    racecheck | synccheck) echo "${groups//wide/}" ;;
    *) echo "$groups" ;;
  esac
}
tools=${SPATE_TOOLS:-memcheck racecheck initcheck synccheck}
for tool in $tools; do
  for group in $(groups_of $tool); do check $tool $group & done
done
wait

failed=0
for tool in $tools; do
  for group in $(groups_of $tool); do
    log=$logs/$tool.$group
    read -r code seconds <"$log.end"
    passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) .*/\1/p' "$log")
    summary=$(sed -n 's/^========= \(.* SUMMARY: .*\)/\1/p' "$log" | tail -1)
    printf '%-10s %-10s %3s tests passed, %s, %d s\n' $tool $group "${passed:-0}" \
      "${summary:-no summary (status $code)}" "$seconds"
    if [ "$code" -ne 0 ] || [ "${passed:-0}" -eq 0 ]; then
      failed=1
      grep -E -A14 '^========= [A-Z]|Failure$' "$log" | head -"${SPATE_LINES:-40}"
    fi
  done
done
exit $failed
