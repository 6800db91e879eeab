#include "apps/journal/manifest.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include "apps/journal/fingerprint.h"
#include "base/check.h"
#include "base/files.h"

namespace spate {
namespace {

constexpr int64_t kForm = 1;  // of the manifest itself

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }
Json or_null(int64_t number) { return number < 0 ? Json() : Json(number); }

// Each leaves `target` alone when the member is not there or null.
void take(const Json& json, std::string_view name, std::string& target) {
  if (const Json* value = json.find(name); value != nullptr && !value->is_null()) {
    target = value->as_string();
  }
}
void take(const Json& json, std::string_view name, int64_t& target) {
  if (const Json* value = json.find(name); value != nullptr && !value->is_null()) {
    target = value->as_integer();
  }
}
void take(const Json& json, std::string_view name, bool& target) {
  if (const Json* value = json.find(name); value != nullptr && !value->is_null()) {
    target = value->as_bool();
  }
}
void take(const Json& json, std::string_view name, JsonObject& target) {
  if (const Json* value = json.find(name); value != nullptr && !value->is_null()) {
    target = value->as_object();
  }
}

// A part of the manifest, or an empty object.
Json part(const Json& json, std::string_view name) {
  const Json* value = json.find(name);
  if (value == nullptr || value->is_null()) {
    return JsonObject();
  }
  value->as_object();
  return *value;
}

Manifest::Run read_run(const Json& json) {
  Manifest::Run run;
  take(json, "started", run.started);
  take(json, "ended", run.ended);
  take(json, "ended_by", run.ended_by);
  if (const Json* report = json.find("report")) {
    run.report = *report;
  }
  return run;
}

Manifest read(const Json& json) {
  Manifest manifest;
  json.as_object();
  int64_t form = 0;
  take(json, "manifest", form);
  if (form != kForm) {
    fail("expected \"manifest\": ", kForm, ", found ",
         form == 0 ? "none" : cat(form, ", of another version of Spate"));
  }
  take(json, "spate", manifest.version);
  const Json input = part(json, "input"), model = part(json, "model");
  take(input, "path", manifest.input.path);
  take(input, "bytes", manifest.input.bytes);
  take(input, "modified", manifest.input.modified);
  take(input, "fingerprint", manifest.input.fingerprint);
  take(model, "path", manifest.model.path);
  take(model, "name", manifest.model.name);
  take(model, "fingerprint", manifest.model.fingerprint);
  take(json, "parameters", manifest.parameters);
  take(json, "shard", manifest.shard);
  take(json, "offset", manifest.offset);
  take(json, "limit", manifest.limit);
  take(json, "output", manifest.output);
  take(json, "errors", manifest.errors);
  take(json, "ordered", manifest.ordered);
  take(json, "config", manifest.config);
  take(json, "rows", manifest.rows);
  if (const Json* runs = json.find("runs"); runs != nullptr && !runs->is_null()) {
    for (const Json& run : runs->as_array()) {
      manifest.runs.push_back(read_run(run));
    }
  }
  return manifest;
}

bool same(const Json& a, const Json& b) {
  return a.is_number() && b.is_number() ? a.as_number() == b.as_number() : a == b;
}

// A value as a message shows it.
std::string shown(const Json* value) {
  constexpr size_t kMost = 60;
  if (value == nullptr || value->is_null()) {
    return "not set";
  }
  std::string text = value->dump();
  if (text.size() > kMost) {
    text.resize(kMost);
    text += "...";
  }
  return text;
}

// Of a repeated member the last one counts.
const Json* find(const JsonObject& object, std::string_view name) {
  const auto found = std::find_if(object.rbegin(), object.rend(),
                                  [&](const JsonMember& one) { return one.first == name; });
  return found == object.rend() ? nullptr : &found->second;
}

void compare(const std::string& name, const Json* was, const Json* now,
             std::vector<std::string>& found) {
  static const Json kNull;
  if (!same(was == nullptr ? kNull : *was, now == nullptr ? kNull : *now)) {
    found.push_back(cat(name, " was ", shown(was), ", is ", shown(now)));
  }
}

}  // namespace

Json manifest_json(const Manifest& manifest) {
  JsonArray runs;
  for (const Manifest::Run& run : manifest.runs) {
    runs.push_back(JsonObject{{"started", run.started},
                              {"ended", or_null(run.ended)},
                              {"ended_by", or_null(run.ended_by)},
                              {"report", run.report}});
  }
  Json input = JsonObject{{"path", manifest.input.path}};
  if (manifest.input.bytes >= 0) {
    input.set("bytes", manifest.input.bytes);
    input.set("modified", manifest.input.modified);
    input.set("fingerprint", manifest.input.fingerprint);
  }
  return JsonObject{{"manifest", kForm},
                    {"spate", manifest.version},
                    {"input", std::move(input)},
                    {"model", JsonObject{{"path", manifest.model.path},
                                         {"name", manifest.model.name},
                                         {"fingerprint", manifest.model.fingerprint}}},
                    {"parameters", manifest.parameters},
                    {"shard", manifest.shard},
                    {"offset", manifest.offset},
                    {"limit", or_null(manifest.limit)},
                    {"output", manifest.output},
                    {"errors", manifest.errors},
                    {"ordered", manifest.ordered},
                    {"config", manifest.config},
                    {"rows", or_null(manifest.rows)},
                    {"runs", std::move(runs)}};
}

Manifest parse_manifest(std::string_view text, const std::string& path) {
  try {
    return read(parse_json(text, "the text"));
  } catch (const Error& error) {
    throw Error(cat(path, ": is not a manifest that can be read (", error.what(),
                    "); give --overwrite to start anew, or move it away and give --resume=force "
                    "to go on from the rows of the output"),
                ExitCode::usage);
  }
}

std::optional<Manifest> read_manifest(FileSystem& files, const std::string& path) {
  FileStatus status;
  if (files.status(path, status) != 0) {
    if (errno == ENOENT) {
      return std::nullopt;
    }
    throw Error(cat(path, ": cannot read: ", std::strerror(errno)), ExitCode::usage);
  }
  return parse_manifest(read_file(path), path);
}

void write_manifest(FileSystem& files, const std::string& path, const Manifest& manifest) {
  replace_file(files, path, manifest_json(manifest).dump() + "\n");
}

std::vector<std::string> differences(const Manifest& was, const Manifest& now) {
  std::vector<std::string> found;
  if (was.model.fingerprint != now.model.fingerprint) {
    found.push_back(was.model.path == now.model.path
                        ? cat("the files of model ", now.model.path, " have changed")
                        : cat("model was ", was.model.path, ", is ", now.model.path));
  }
  for (const auto& [name, unused] : now.parameters) {
    compare(name, find(was.parameters, name), find(now.parameters, name), found);
  }
  for (const auto& [name, value] : was.parameters) {
    if (find(now.parameters, name) == nullptr) {
      compare(name, &value, nullptr, found);
    }
  }
  if (was.shard != now.shard) {
    found.push_back(cat("shard was ", was.shard, ", is ", now.shard));
  }
  if (was.offset != now.offset) {
    found.push_back(cat("offset was ", was.offset, ", is ", now.offset));
  }
  if ((was.errors == "inline") != (now.errors == "inline")) {
    found.push_back(cat("errors was ", was.errors, ", is ", now.errors));
  }
  return found;
}

bool input_differs(const Manifest& was, const Manifest& now) {
  if (now.input.bytes < 0) {
    return false;
  }
  return was.input.bytes != now.input.bytes || was.input.modified != now.input.modified ||
         was.input.fingerprint != now.input.fingerprint || was.limit != now.limit;
}

Manifest::Input describe_input(FileSystem& files, const std::string& path) {
  Manifest::Input input{.path = path};
  FileStatus status;
  if (path != "-" && files.status(path, status) == 0 && status.regular) {
    input.bytes = status.bytes;
    input.modified = utc_time(status.modified);
    input.fingerprint = file_fingerprint(files, path);
  }
  return input;
}

std::string utc_time(int64_t nanoseconds) {
  const std::time_t seconds = nanoseconds / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return utc_time(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace spate
