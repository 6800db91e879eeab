#include "text/jinja/loop.h"

#include "text/jinja/calls.h"
#include "text/jinja/operators.h"

namespace spate::jinja {
namespace {

Value cycle(CallFrame& frame) {
  const std::span<const Value> choices = frame.raw.positional;
  if (choices.empty()) raise("no items for cycling given");
  return choices[static_cast<size_t>(frame[0].loop->index0()) % choices.size()];
}

Value changed(CallFrame& frame) {
  const Value values = tuple_value(frame.heap(), frame.raw.positional);
  return boolean(frame[0].loop->changed(frame.runtime, values));
}

constexpr MethodEntry kCycle{"cycle", {"LoopContext.cycle", "self *"}, cycle};
constexpr MethodEntry kChanged{"changed", {"LoopContext.changed", "self *"}, changed};

}  // namespace

bool Loop::next(Runtime& runtime, Value& item) {
  if (!after_.is_missing()) {
    item = after_;
    after_ = {};
  } else if (!source_->next(runtime, item)) {
    return false;
  }
  ++index0_;
  before_ = current_;
  current_ = item;
  return true;
}

const Value& Loop::peek(Runtime& runtime) {
  if (after_.is_missing()) {
    Value item;
    if (source_->next(runtime, item)) after_ = item;
  }
  return after_;
}

int64_t Loop::length(Runtime& runtime) {
  if (length_ >= 0) return length_;
  length_ = length_of(iterable_);
  if (length_ < 0) {
    std::vector<Value> rest;
    for (Value item; source_->next(runtime, item);) rest.push_back(item);
    const auto ahead = static_cast<int64_t>(after_.is_missing() ? 0 : 1);
    length_ = static_cast<int64_t>(rest.size()) + index0_ + 1 + ahead;
    source_ = iterate(runtime, list_value(runtime.heap(), rest));
  }
  return length_;
}

bool Loop::changed(Runtime& runtime, const Value& values) {
  if (!last_changed_.is_missing() && equal(runtime, last_changed_, values)) return false;
  last_changed_ = values;
  return true;
}

Value Loop::attribute(Runtime& runtime, std::string_view name) {
  if (name == "index") return integer(index0_ + 1);
  if (name == "index0") return integer(index0_);
  if (name == "first") return boolean(index0_ == 0);
  if (name == "last") return boolean(peek(runtime).is_missing());
  if (name == "length") return integer(length(runtime));
  if (name == "revindex") return integer(length(runtime) - index0_);
  if (name == "revindex0") return integer(length(runtime) - index0_ - 1);
  if (name == "depth") return integer(depth0_ + 1);
  if (name == "depth0") return integer(depth0_);
  if (name == "previtem") {
    if (index0_ > 0) return before_;
    return undefined_value(runtime.heap(), "there is no previous item", {}, {});
  }
  if (name == "nextitem") {
    const Value& next = peek(runtime);
    return next.is_missing() ? undefined_value(runtime.heap(), "there is no next item", {}, {})
                             : next;
  }
  const MethodEntry* method = name == "cycle" ? &kCycle : name == "changed" ? &kChanged : nullptr;
  if (method == nullptr) return {};
  Value self, value;
  self.kind = Kind::loop;
  self.loop = this;
  value.kind = Kind::method;
  value.method = runtime.heap().make<Method>(self, method);
  return value;
}

}  // namespace spate::jinja
