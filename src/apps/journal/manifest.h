// What identifies a job, beside its output: input, model, every parameter that changes answers, and
// the runs so far. A run goes on with the rows of an earlier one only when their manifests agree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/json.h"

namespace spate {

struct Manifest {
  struct Input {
    std::string path;      // "-": stdin, and nothing else is known
    int64_t bytes = -1;    // -1: not known
    std::string modified;  // ISO 8601, UTC
    std::string fingerprint;
  };
  struct Model {
    std::string path, name, fingerprint;
  };
  struct Run {
    std::string started;   // ISO 8601, UTC
    std::string ended;     // empty: it runs, or was killed
    std::string ended_by;  // "end", "SIGINT", ...
    Json report;
  };

  std::string version = SPATE_VERSION;
  Input input;
  Model model;
  JsonObject parameters;  // name -> value
  std::string shard = "1/1";
  int64_t offset = 0;
  int64_t limit = -1;  // -1: all rows
  std::string output, errors;
  bool ordered = false;
  JsonObject config;  // effective flags: name -> value; not compared
  int64_t rows = -1;  // of the job; -1: not known
  std::vector<Run> runs;
};

Json manifest_json(const Manifest& manifest);

// Members that it does not know are passed over. Throws Error that names `path` and what to do.
Manifest parse_manifest(std::string_view text, const std::string& path);

std::optional<Manifest> read_manifest(FileSystem& files, const std::string& path);  // none: no file
void write_manifest(FileSystem& files, const std::string& path, const Manifest& manifest);

// Why the rows of `was` cannot be those of `now`: "temperature was 1, is 0.7". Empty: they can.
std::vector<std::string> differences(const Manifest& was, const Manifest& now);

// The rows may be other ones: the input, or the number of rows taken from it. Never for stdin,
// where nothing can be known.
bool input_differs(const Manifest& was, const Manifest& now);

Manifest::Input describe_input(FileSystem& files, const std::string& path);

std::string utc_time(int64_t nanoseconds);  // of Unix time: "2026-03-01T12:00:00Z"
std::string utc_now();

}  // namespace spate
