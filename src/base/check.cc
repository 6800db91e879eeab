#include "base/check.h"

namespace spate {

void check_failed(const What& what, const std::string& details) {
  throw Error(cat(what.where.file_name(), ":", what.where.line(), ": ", what.text, details));
}

}  // namespace spate
