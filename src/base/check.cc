#include "base/check.h"

namespace spate {

void check_failed(const What& what, const std::string& details) {
  throw Error(cat(what.file, ":", what.line, ": ", what.text, details));
}

}  // namespace spate
