// Runs requests through a whole engine and collects what comes out.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace spate {

struct Generated {
  std::vector<Token> tokens;
  std::vector<TokenLogprob> logprobs, prompt_logprobs;
  int64_t cached_tokens = 0;
  std::optional<Finish> finish;
};

// (request id, sample) -> its output. `stats`, when given, gets the engine's numbers.
inline std::map<std::pair<uint64_t, int>, Generated> generate(const ModelFiles& files,
                                                              const EngineOptions& options,
                                                              std::vector<Request> requests,
                                                              EngineStats* stats = nullptr) {
  Engine engine(files, options);
  for (Request& request : requests) engine.submit(std::move(request));
  engine.close();
  std::map<std::pair<uint64_t, int>, Generated> out;
  while (!engine.finished()) {
    for (Event& event : engine.next_events()) {
      Generated& into = out[{event.request, event.sample}];
      EXPECT_FALSE(into.finish.has_value()) << "an event after the last one";
      into.tokens.insert(into.tokens.end(), event.tokens.begin(), event.tokens.end());
      into.logprobs.insert(into.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
      into.prompt_logprobs.insert(into.prompt_logprobs.end(), event.prompt_logprobs.begin(),
                                  event.prompt_logprobs.end());
      into.cached_tokens += event.cached_tokens;
      if (event.finish) into.finish = event.finish;
    }
  }
  if (stats != nullptr) *stats = engine.stats();
  return out;
}

}  // namespace spate
