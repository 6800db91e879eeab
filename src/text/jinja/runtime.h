// What one render shares: its memory, its budget of steps and depth, and the time it shows.
//
// Owned by one thread, for one render.
#pragma once

#include <ctime>
#include <optional>
#include <string>

#include "text/jinja/failure.h"
#include "text/jinja/heap.h"
#include "text/jinja/limits.h"

namespace spate::jinja {

class Runtime {
 public:
  explicit Runtime(std::optional<std::time_t> now) : now_(now) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Heap& heap() { return heap_; }

  // Called for every node evaluated and every item touched.
  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > kMaxSteps) raise("the template takes more than ", kMaxSteps, " steps");
  }

  // Held while something nested is visited.
  class Level {
   public:
    explicit Level(Runtime& runtime) : runtime_(runtime) {
      if (runtime_.depth_ >= kMaxDepth) {
        raise("the template nests deeper than ", kMaxDepth, " levels");
      }
      ++runtime_.depth_;
    }
    ~Level() { --runtime_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Runtime& runtime_;
  };

  // The time of strftime_now.
  std::time_t now() const { return now_ ? *now_ : std::time(nullptr); }

 private:
  Heap heap_;
  int64_t steps_ = 0;
  int depth_ = 0;
  std::optional<std::time_t> now_;
};

// Appends to a text that may not grow past kMaxOutput.
inline void append(std::string& out, std::string_view text) {
  if (text.size() > kMaxOutput - out.size()) {
    raise("the template writes a text of more than ", kMaxOutput >> 20, " MiB");
  }
  out.append(text);
}

inline void append(std::string& out, size_t count, char c) {
  if (count > kMaxOutput - out.size()) {
    raise("the template writes a text of more than ", kMaxOutput >> 20, " MiB");
  }
  out.append(count, c);
}

}  // namespace spate::jinja
