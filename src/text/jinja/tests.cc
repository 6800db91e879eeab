// The tests of `is`.
#include <cmath>

#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/iterate.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

// value % divisor == rest, with the errors of the operator.
bool leaves(CallFrame& frame, const Value& divisor, int64_t rest) {
  const Value modulo = binary(frame.runtime, BinaryOperator::mod, frame[0], divisor);
  return equal(frame.runtime, modulo, integer(rest));
}

template <Comparison op>
bool compares(CallFrame& frame) {
  return compare(frame.runtime, op, frame[0], frame[1]);
}

// Like Python's islower and isupper: some letters, and all of this case.
bool all_cased(CallFrame& frame, bool (*right)(char32_t), bool (*wrong)(char32_t)) {
  const std::string_view text = to_string(frame.runtime, frame[0]).string();
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = read_code_point(text, at);
    if (wrong(c) || is_title(c)) return false;
    any = any || right(c);
  }
  return any;
}

bool is_callable(const Value& value) {
  switch (value.kind) {
    case Kind::undefined:
    case Kind::macro:
    case Kind::function:
    case Kind::method:
    case Kind::loop:
    case Kind::joiner: return true;
    default: return false;
  }
}

// Things with a length and elements.
bool is_sequence(const Value& value) {
  return value.is_string() || value.is_sequence() || value.is(Kind::dict) ||
         value.is(Kind::range) || value.is_undefined();
}

const Test kTests[] = {
    {"defined", {"test_defined", "value"}, [](CallFrame& f) { return !f[0].is_undefined(); }},
    {"undefined", {"test_undefined", "value"}, [](CallFrame& f) { return f[0].is_undefined(); }},
    {"none", {"test_none", "value"}, [](CallFrame& f) { return f[0].is_none(); }},
    {"string", {"test_string", "value"}, [](CallFrame& f) { return f[0].is_string(); }},
    {"mapping", {"test_mapping", "value"}, [](CallFrame& f) { return f[0].is(Kind::dict); }},
    {"sequence", {"test_sequence", "value"}, [](CallFrame& f) { return is_sequence(f[0]); }},
    {"iterable", {"test_iterable", "value"}, [](CallFrame& f) { return is_iterable(f[0]); }},
    {"boolean", {"test_boolean", "value"}, [](CallFrame& f) { return f[0].is(Kind::boolean); }},
    {"true",
     {"test_true", "value"},
     [](CallFrame& f) { return f[0].is(Kind::boolean) && f[0].truth; }},
    {"false",
     {"test_false", "value"},
     [](CallFrame& f) { return f[0].is(Kind::boolean) && !f[0].truth; }},
    {"number", {"test_number", "value"}, [](CallFrame& f) { return f[0].is_numeric(); }},
    {"integer", {"test_integer", "value"}, [](CallFrame& f) { return f[0].is(Kind::integer); }},
    {"float", {"test_float", "value"}, [](CallFrame& f) { return f[0].is(Kind::number); }},
    {"odd", {"test_odd", "value"}, [](CallFrame& f) { return leaves(f, integer(2), 1); }},
    {"even", {"test_even", "value"}, [](CallFrame& f) { return leaves(f, integer(2), 0); }},
    {"divisibleby",
     {"test_divisibleby", "value num"},
     [](CallFrame& f) { return leaves(f, f[1], 0); }},
    {"lower",
     {"test_lower", "value"},
     [](CallFrame& f) { return all_cased(f, is_lower, is_upper); }},
    {"upper",
     {"test_upper", "value"},
     [](CallFrame& f) { return all_cased(f, is_upper, is_lower); }},
    {"in", {"test_in", "value seq"}, [](CallFrame& f) { return contains(f.runtime, f[1], f[0]); }},
    {"sameas", {"test_sameas", "value other"}, [](CallFrame& f) { return same(f[0], f[1]); }},
    {"callable", {"callable", "value /"}, [](CallFrame& f) { return is_callable(f[0]); }},
    {"escaped",
     {"test_escaped", "value"},
     [](CallFrame& f) { return f[0].is_string() && f[0].safe; }},
    {"filter",
     {"test_filter", "@ value"},
     [](CallFrame& f) { return f[0].is_string() && find_filter(f[0].string()) != nullptr; }},
    {"test",
     {"test_test", "@ value"},
     [](CallFrame& f) { return f[0].is_string() && find_test(f[0].string()) != nullptr; }},
    {"eq", {"eq", "a b /"}, compares<Comparison::eq>},
    {"equalto", {"eq", "a b /"}, compares<Comparison::eq>},
    {"==", {"eq", "a b /"}, compares<Comparison::eq>},
    {"ne", {"ne", "a b /"}, compares<Comparison::ne>},
    {"!=", {"ne", "a b /"}, compares<Comparison::ne>},
    {"lt", {"lt", "a b /"}, compares<Comparison::lt>},
    {"lessthan", {"lt", "a b /"}, compares<Comparison::lt>},
    {"<", {"lt", "a b /"}, compares<Comparison::lt>},
    {"le", {"le", "a b /"}, compares<Comparison::lteq>},
    {"<=", {"le", "a b /"}, compares<Comparison::lteq>},
    {"gt", {"gt", "a b /"}, compares<Comparison::gt>},
    {"greaterthan", {"gt", "a b /"}, compares<Comparison::gt>},
    {">", {"gt", "a b /"}, compares<Comparison::gt>},
    {"ge", {"ge", "a b /"}, compares<Comparison::gteq>},
    {">=", {"ge", "a b /"}, compares<Comparison::gteq>},
};

}  // namespace

const Test* find_test(std::string_view name) {
  for (const Test& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

}  // namespace spate::jinja
