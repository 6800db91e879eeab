// The flags that every command with an engine shares, and what they mean: which model, with which
// weights, how much memory, how scheduled.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/cli.h"
#include "base/check.h"
#include "engine/engine.h"

namespace spate {

struct EngineFlags {
  std::string model;  // as given
  EngineOptions options;
  std::optional<RandomWeights> random_weights;
  std::string chat_template;  // a file, or empty
  bool longest_row = false;   // --max-model-len auto: as long as the longest row needs
  bool profile = false;
  std::string trace;  // a file, or empty
};

Flag model_flag(EngineFlags& flags);  // the positional MODEL and where its weights come from
Flag random_weights_flag(EngineFlags& flags);
Flag chat_template_flag(EngineFlags& flags);
Flag max_length_flag(EngineFlags& flags);
Flag profile_flag(EngineFlags& flags);
Flag trace_flag(EngineFlags& flags);
FlagGroup engine_flag_group(EngineFlags& flags);  // "engine": memory, order, batching, threads

Choices<Batching> batchings();
Choices<Order> orders();

// What fails before anything has run is the fault of the model or the flags: exit code 2, unless
// the error has a code of its own.
template <class Action>
auto before_running(const Action& action) {
  try {
    return action();
  } catch (const Error& error) {
    throw Error(error.what(), error.code() == ExitCode::engine ? ExitCode::usage : error.code());
  }
}

// Opens what MODEL names.
ModelFiles open_model(const EngineFlags& flags);

// The trace that --trace names, or null without one.
std::unique_ptr<Trace> open_trace(const EngineFlags& flags);
// Writes its end; says on stderr when it could not be written.
void close_trace(Trace* trace);

std::string model_name(const std::string& path);  // "SmolLM2-135M-Instruct.Q4_1" of its path

}  // namespace spate
