#include "apps/jobs/contents.h"

#include <algorithm>

namespace spate {
namespace {

int64_t number_in(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  return value != nullptr && value->is_integer() ? value->as_integer() : 0;
}

class Reader {
 public:
  Reader(FileSystem& files, const JobRecord& job) : files_(files), job_(job) {}

  JobContents read() {
    for (const std::string& path : job_.files()) {
      const bool part = path == job_.names.part;
      const FileScan scan =
          scan_file(files_, path, [&](const ScannedLine& line) { take(line, part); });
      contents_.damaged += scan.damaged;
      contents_.foreign += scan.foreign;
      contents_.torn_bytes += scan.to_cut();
      for (const std::string& example : scan.foreign_examples) {
        contents_.foreign_examples.push_back(cat(path, " ", example));
      }
    }
    contents_.rows.for_each([&](const Hash128& /*key*/, const JobContents::RowState& row) {
      if (row.answered) {
        ++contents_.ok;
      } else {
        ++contents_.failed;
        ++contents_.errors[contents_.codes[static_cast<size_t>(row.code)]];
      }
    });
    contents_.superseded_errors = failures_ - contents_.failed;
    return std::move(contents_);
  }

 private:
  void take(const ScannedLine& line, bool part) {
    if (line.facts.kind == LineKind::answer) {
      JobContents::RowState& row = contents_.rows[line.facts.key];
      // With --ordered a line may be in OUT.part and, since a moment, in OUT.
      if (row.answered) {
        contents_.repeated_answers += part ? 0 : 1;
        return;
      }
      row.answered = true;
      contents_.in_part += part ? 1 : 0;
      count_answer(line.text);
    } else if (line.facts.kind == LineKind::failure) {
      ++failures_;
      contents_.rows[line.facts.key].code = code_of(line.facts.code);
      contents_.in_part += part ? 1 : 0;
    }
  }

  int32_t code_of(const std::string& code) {
    auto& codes = contents_.codes;
    const auto found = std::find(codes.begin(), codes.end(), code);
    if (found != codes.end()) {
      return static_cast<int32_t>(found - codes.begin());
    }
    codes.push_back(code);
    return static_cast<int32_t>(codes.size() - 1);
  }

  void count_answer(std::string_view text) {
    Json json;
    JsonError error;
    if (!parser_.parse(text, json, error)) {
      ++contents_.without_usage;
      return;
    }
    const Json* response = json.find("response");
    const Json* body = response == nullptr ? &json : response->find("body");
    const Json* usage = body == nullptr ? nullptr : body->find("usage");
    if (usage == nullptr || !usage->is_object()) {
      ++contents_.without_usage;
      return;
    }
    contents_.prompt_tokens += number_in(*usage, "prompt_tokens");
    contents_.output_tokens += number_in(*usage, "completion_tokens");
    if (const Json* details = usage->find("prompt_tokens_details")) {
      contents_.cached_tokens += number_in(*details, "cached_tokens");
    }
    if (const Json* choices = body->find("choices"); choices != nullptr && choices->is_array()) {
      for (const Json& choice : choices->as_array()) {
        count_finish(choice);
      }
    } else {
      count_finish(*body);
    }
  }

  void count_finish(const Json& sample) {
    const Json* reason = sample.find("finish_reason");
    if (reason != nullptr && reason->is_string()) {
      ++contents_.finishes[reason->as_string()];
    }
  }

  FileSystem& files_;
  const JobRecord& job_;
  JobContents contents_;
  JsonParser parser_;
  int64_t failures_ = 0;  // lines
};

}  // namespace

JobContents read_contents(FileSystem& files, const JobRecord& job) {
  return Reader(files, job).read();
}

}  // namespace spate
