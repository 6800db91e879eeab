// The variable `loop` of for statements: where the loop is, with a look at the next item where the
// template asks for one.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/iterate.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

struct Activation;

class Loop {
 public:
  // `recursive`: the statement that loop(...) runs again, in `outside`; or null.
  Loop(Runtime& runtime, const Value& iterable, int depth0, const For* recursive,
       Activation* outside)
      : iterable_(iterable),
        source_(iterate(runtime, iterable)),
        depth0_(depth0),
        recursive_(recursive),
        outside_(outside) {}

  bool next(Runtime& runtime, Value& item);

  int64_t index0() const { return index0_; }
  int depth0() const { return depth0_; }
  const For* recursive() const { return recursive_; }
  Activation* outside() const { return outside_; }

  // Reads the rest of things without a length.
  int64_t length(Runtime& runtime);
  // The attribute, or missing when loops have none of that name.
  Value attribute(Runtime& runtime, std::string_view name);
  bool changed(Runtime& runtime, const Value& values);

 private:
  const Value& peek(Runtime& runtime);

  Value iterable_;
  Iterator* source_;
  int depth0_;
  const For* recursive_;
  Activation* outside_;
  int64_t index0_ = -1;
  int64_t length_ = -1;
  Value before_, current_, after_;  // missing: none; after_ is set only after a look ahead
  Value last_changed_;
};

}  // namespace spate::jinja
