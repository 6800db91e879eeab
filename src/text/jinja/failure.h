// What a template that cannot be parsed or rendered throws inside this folder; chat.cc turns it
// into an Error that names the template.
#pragma once

#include <string>

#include "base/check.h"

namespace spate::jinja {

struct Failure {
  std::string message;       // in the words of jinja2 or Python
  int line = 0;              // 0: the line that is being rendered
  bool by_template = false;  // raise_exception: the message is the template's own
};

template <class... Parts>
[[noreturn]] void raise(const Parts&... parts) {
  throw Failure{.message = cat(parts...)};
}

template <class... Parts>
[[noreturn]] void raise_at(int line, const Parts&... parts) {
  throw Failure{.message = cat(parts...), .line = line};
}

}  // namespace spate::jinja
