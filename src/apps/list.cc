#include "apps/list.h"

namespace spate {
namespace {

constexpr Command kCommands[] = {
    {"run", "the batch job: a model and a file of prompts in, every answer out", run_command},
    {"validate", "look at every row of a file before it runs", validate_command},
    {"merge", "join outputs of shards or of several jobs", merge_command},
    {"report", "the numbers of a job, from its files", report_command},
    {"bench", "measure throughput with fixed lengths, a list of lengths or a file", bench_command},
    {"chat", "talk to a model, or ask it one thing", chat_command},
    {"inspect", "what a model file holds, and the memory it needs", inspect_command},
    {"tokenize", "text to tokens and back", tokenize_command},
    {"doctor", "what this machine has and how fast it is", doctor_command},
};

}  // namespace

std::span<const Command> all_commands() { return kCommands; }

}  // namespace spate
