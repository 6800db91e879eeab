// A line of a job's files, by the places where its writer (apps/answer) puts what is looked for:
//
//   {"id":"batch_req_<key>",...,"error":null}                          answer, OpenAI's form
//   {"id":"batch_req_<key>",...,"error":{"code",...}}                  failed row, OpenAI's form
//   {...,"key":"<key>"}                                                answer, short form
//   {...,"error":{"code",...},"attempts":N,"key":"<key>"}              failed row, short form
//
// Lines that were formatted anew by other programs are understood too, at the price of parsing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/json.h"

namespace spate {

enum class LineKind {
  answer,
  failure,
  foreign,  // JSON or blank, without a key: somebody else put it there
  damaged,  // holds zero bytes, or is no JSON: what a crash of the machine leaves behind
};

struct JobLine {
  LineKind kind = LineKind::damaged;
  Hash128 key;             // of an answer or a failure
  int64_t attempts = 0;    // of a failure; 0: the line does not say
  bool retryable = false;  // of a failure
  std::string code;        // of a failure
};

inline bool is_outcome(const JobLine& line) {
  return line.kind == LineKind::answer || line.kind == LineKind::failure;
}

// `text` is without its newline. `parser` belongs to the calling thread.
JobLine read_job_line(std::string_view text, JsonParser& parser);

}  // namespace spate
