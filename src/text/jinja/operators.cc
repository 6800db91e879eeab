#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja/dict.h"
#include "text/jinja/format.h"
#include "text/jinja/iterate.h"
#include "text/jinja/repr.h"

namespace spate::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
constexpr std::string_view kComparisons[] = {"==", "!=", "<", "<=", ">", ">=", "in", "not in"};

[[noreturn]] void raise_operands(BinaryOperator op, const Value& a, const Value& b) {
  raise("unsupported operand type(s) for ", kSymbols[static_cast<int>(op)], ": '", type_name(a),
        "' and '", type_name(b), "'");
}

[[noreturn]] void raise_overflow() {
  raise("the result of an operation on integers is past 64 bits");
}

// -1, 0, 1; 2 when one is not a number. Integers and floats compare by their exact values.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    const int64_t x = a.as_integer(), y = b.as_integer();
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.is(Kind::number) && b.is(Kind::number)) {
    if (std::isnan(a.number) || std::isnan(b.number)) return 2;
    return a.number < b.number ? -1 : a.number > b.number ? 1 : 0;
  }
  if (a.is(Kind::number)) {
    const int result = compare_numbers(b, a);
    return result == 2 ? 2 : -result;
  }
  if (std::isnan(b.number)) return 2;
  if (b.number >= 9223372036854775808.0) return -1;
  if (b.number < -9223372036854775808.0) return 1;
  const int64_t whole = static_cast<int64_t>(b.number);  // toward zero
  const int64_t x = a.as_integer();
  if (x != whole) return x < whole ? -1 : 1;
  const double rest = b.number - static_cast<double>(whole);
  return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

bool equal_items(Runtime& runtime, std::span<const Value> a, std::span<const Value> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i]) && !equal(runtime, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Runtime& runtime, const Dict& a, const Dict& b) {
  if (a.size != b.size) return false;
  for (const DictEntry& entry : a.entries()) {
    const Value* other = find(runtime, b, entry.key);
    if (other == nullptr || (!same(entry.value, *other) && !equal(runtime, entry.value, *other))) {
      return false;
    }
  }
  return true;
}

bool equal_ranges(const Range& a, const Range& b) {
  return a.length == b.length &&
         (a.length == 0 || (a.start == b.start && (a.length == 1 || a.step == b.step)));
}

// ---- Arithmetic on numbers

int64_t floor_divide(int64_t a, int64_t b) {
  if (a == std::numeric_limits<int64_t>::min() && b == -1) raise_overflow();
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) raise_overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) raise_overflow();
  }
  return result;
}

double float_modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) rest += b;
  } else {
    rest = std::copysign(0.0, b);
  }
  return rest;
}

double float_floor_divide(double a, double b) {
  const double rest = float_modulo(a, b);
  const double quotient = (a - rest) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Value float_power(double base, double exponent) {
  if (base == 0 && exponent < 0) raise("0.0 cannot be raised to a negative power");
  const double result = std::pow(base, exponent);
  if (std::isnan(result) && base < 0 && std::isfinite(exponent)) {
    raise("complex numbers are not supported in templates");
  }
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    raise("(34, 'Numerical result out of range')");
  }
  return number(result);
}

Value on_integers(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOperator::add:
      if (__builtin_add_overflow(a, b, &result)) raise_overflow();
      return integer(result);
    case BinaryOperator::sub:
      if (__builtin_sub_overflow(a, b, &result)) raise_overflow();
      return integer(result);
    case BinaryOperator::mul:
      if (__builtin_mul_overflow(a, b, &result)) raise_overflow();
      return integer(result);
    case BinaryOperator::div:
      if (b == 0) raise("division by zero");
      return number(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::floordiv:
      if (b == 0) raise("integer division or modulo by zero");
      return integer(floor_divide(a, b));
    case BinaryOperator::mod:
      if (b == 0) raise("integer modulo by zero");
      return integer(floor_modulo(a, b));
    case BinaryOperator::pow:
      if (b < 0) return float_power(static_cast<double>(a), static_cast<double>(b));
      return integer(power(a, b));
  }
  return {};
}

Value on_numbers(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::add: return number(a + b);
    case BinaryOperator::sub: return number(a - b);
    case BinaryOperator::mul: return number(a * b);
    case BinaryOperator::div:
      if (b == 0) raise("float division by zero");
      return number(a / b);
    case BinaryOperator::floordiv:
      if (b == 0) raise("float floor division by zero");
      return number(float_floor_divide(a, b));
    case BinaryOperator::mod:
      if (b == 0) raise("float modulo");
      return number(float_modulo(a, b));
    case BinaryOperator::pow: return float_power(a, b);
  }
  return {};
}

// ---- Sequences

Value add_strings(Runtime& runtime, const Value& a, const Value& b) {
  // Text beside HTML is escaped, as Markup does.
  std::string escaped;
  std::string_view left = a.string(), right = b.string();
  if (a.safe && !b.safe) right = escaped = escape_html(right);
  if (b.safe && !a.safe) left = escaped = escape_html(left);
  char* text = runtime.heap().text(left.size() + right.size());
  std::copy(left.begin(), left.end(), text);
  std::copy(right.begin(), right.end(), text + left.size());
  return string({text, left.size() + right.size()}, a.safe || b.safe);
}

Value add_sequences(Runtime& runtime, const Value& a, const Value& b) {
  const std::span<const Value> left = a.list->items, right = b.list->items;
  runtime.step(static_cast<int64_t>(left.size() + right.size()));
  const std::span<Value> items = runtime.heap().array<Value>(left.size() + right.size());
  std::copy(left.begin(), left.end(), items.begin());
  std::copy(right.begin(), right.end(), items.begin() + static_cast<std::ptrdiff_t>(left.size()));
  Value result = a;
  result.list = runtime.heap().make<List>(items);
  return result;
}

Value repeat(Runtime& runtime, const Value& sequence, int64_t times) {
  const size_t count = times < 0 ? 0 : static_cast<size_t>(times);
  if (sequence.is_string()) {
    const std::string_view text = sequence.string();
    if (text.empty() || count == 0) return string({}, sequence.safe);
    if (count > kMaxOutput / text.size()) {
      raise("the template writes a text of more than ", kMaxOutput >> 20, " MiB");
    }
    char* out = runtime.heap().text(text.size() * count);
    for (size_t i = 0; i < count; ++i) std::copy(text.begin(), text.end(), out + i * text.size());
    return string({out, text.size() * count}, sequence.safe);
  }
  const std::span<const Value> source = sequence.list->items;
  Value result = sequence;
  if (source.empty() || count == 0) {
    result.list = runtime.heap().make<List>();
    return result;
  }
  if (count > static_cast<size_t>(kMaxSteps)) raise("a list is repeated too many times");
  runtime.step(static_cast<int64_t>(source.size() * count));
  const std::span<Value> items = runtime.heap().array<Value>(source.size() * count);
  for (size_t i = 0; i < items.size(); ++i) items[i] = source[i % source.size()];
  result.list = runtime.heap().make<List>(items);
  return result;
}

bool is_text_or_list(const Value& value) { return value.is_string() || value.is_sequence(); }

}  // namespace

bool truth(const Value& value) {
  switch (value.kind) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean: return value.truth;
    case Kind::integer: return value.integer != 0;
    case Kind::number: return value.number != 0;
    case Kind::string: return value.size != 0;
    case Kind::list:
    case Kind::tuple: return !value.list->items.empty();
    case Kind::dict: return value.dict->size != 0;
    case Kind::view: return value.view->dict->size != 0;
    case Kind::range: return value.range->length != 0;
    default: return true;
  }
}

bool same(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::none: return true;
    case Kind::boolean: return a.truth == b.truth;
    case Kind::integer: return a.integer == b.integer && a.integer >= -5 && a.integer <= 256;
    case Kind::number: return false;
    case Kind::string: return a.text == b.text && a.size == b.size && a.safe == b.safe;
    default: return a.text == b.text;
  }
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) return a.string() == b.string();
  runtime.step();
  const Runtime::Level level(runtime);
  if (a.is_numeric() && b.is_numeric()) return compare_numbers(a, b) == 0;
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::none:
    case Kind::undefined: return true;
    case Kind::list:
    case Kind::tuple: return equal_items(runtime, a.list->items, b.list->items);
    case Kind::dict: return equal_dicts(runtime, *a.dict, *b.dict);
    case Kind::range: return equal_ranges(*a.range, *b.range);
    default: return a.text == b.text;
  }
}

bool compare(Runtime& runtime, Comparison op, const Value& a, const Value& b) {
  switch (op) {
    case Comparison::eq: return equal(runtime, a, b);
    case Comparison::ne: return !equal(runtime, a, b);
    case Comparison::in: return contains(runtime, b, a);
    case Comparison::not_in: return !contains(runtime, b, a);
    default: break;
  }
  runtime.step();
  const Runtime::Level level(runtime);
  int order = 2;
  if (a.is_numeric() && b.is_numeric()) {
    order = compare_numbers(a, b);
    if (order == 2) return false;
  } else if (a.is_string() && b.is_string()) {
    const int bytes = a.string().compare(b.string());  // UTF-8 sorts as its code points do
    order = bytes < 0 ? -1 : bytes > 0 ? 1 : 0;
  } else if (a.is_sequence() && a.kind == b.kind) {
    const std::span<const Value> x = a.list->items, y = b.list->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(runtime, x[i], y[i])) return compare(runtime, op, x[i], y[i]);
    }
    order = x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  } else {
    check_defined(a);
    check_defined(b);
    raise("'", kComparisons[static_cast<int>(op)], "' not supported between instances of '",
          type_name(a), "' and '", type_name(b), "'");
  }
  switch (op) {
    case Comparison::lt: return order < 0;
    case Comparison::lteq: return order <= 0;
    case Comparison::gt: return order > 0;
    default: return order >= 0;
  }
}

bool less(Runtime& runtime, const Value& a, const Value& b) {
  return compare(runtime, Comparison::lt, a, b);
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.kind) {
    case Kind::string:
      if (!item.is_string()) {
        raise("'in <string>' requires string as left operand, not ", type_name(item));
      }
      return container.string().find(item.string()) != std::string_view::npos;
    case Kind::dict: return find(runtime, *container.dict, item) != nullptr;
    case Kind::view:
      if (container.view->what == View::What::keys) {
        return find(runtime, *container.view->dict, item) != nullptr;
      }
      break;
    case Kind::list:
    case Kind::tuple:
      for (const Value& other : container.list->items) {
        if (same(other, item) || equal(runtime, other, item)) return true;
      }
      return false;
    default:
      if (!is_iterable(container)) {
        raise("argument of type '", type_name(container), "' is not iterable");
      }
  }
  Iterator* source = iterate(runtime, container);
  for (Value other; source->next(runtime, other);) {
    if (same(other, item) || equal(runtime, other, item)) return true;
  }
  return false;
}

Value binary(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b) {
  if (a.is_numeric() && b.is_numeric()) {
    return a.is_integral() && b.is_integral() ? on_integers(op, a.as_integer(), b.as_integer())
                                              : on_numbers(op, a.as_number(), b.as_number());
  }
  if (op == BinaryOperator::mod && a.is_string()) return format_percent(runtime, a, b);
  check_defined(a);
  check_defined(b);
  if (op == BinaryOperator::add) {
    if (a.is_string() && b.is_string()) return add_strings(runtime, a, b);
    if (a.is_sequence() && a.kind == b.kind) return add_sequences(runtime, a, b);
    if (is_text_or_list(a) && !a.safe) {
      raise("can only concatenate ", a.is_string() ? "str" : type_name(a), " (not \"", type_name(b),
            "\") to ", a.is_string() ? "str" : type_name(a));
    }
  }
  if (op == BinaryOperator::mul) {
    if (is_text_or_list(a) && b.is_integral()) return repeat(runtime, a, b.as_integer());
    if (is_text_or_list(b) && a.is_integral()) return repeat(runtime, b, a.as_integer());
    if ((a.is_string() && a.safe) || (b.is_string() && b.safe)) {
      raise("'", type_name(a.is_string() && a.safe ? b : a),
            "' object cannot be interpreted as an integer");
    }
    if (is_text_or_list(a) || is_text_or_list(b)) {
      raise("can't multiply sequence by non-int of type '", type_name(is_text_or_list(a) ? b : a),
            "'");
    }
  }
  raise_operands(op, a, b);
}

Value add(Runtime& runtime, const Value& a, const Value& b) {
  return binary(runtime, BinaryOperator::add, a, b);
}

Value negative(const Value& value) {
  if (value.is_integral()) {
    if (value.as_integer() == std::numeric_limits<int64_t>::min()) raise_overflow();
    return integer(-value.as_integer());
  }
  if (value.is(Kind::number)) return number(-value.number);
  check_defined(value);
  raise("bad operand type for unary -: '", type_name(value), "'");
}

Value positive(const Value& value) {
  if (value.is_integral()) return integer(value.as_integer());
  if (value.is(Kind::number)) return value;
  check_defined(value);
  raise("bad operand type for unary +: '", type_name(value), "'");
}

namespace {

// jinja2's name of an object in its messages.
std::string describe_object(const Value& value) {
  struct Module {
    Kind kind;
    std::string_view name;
  };
  constexpr Module kModules[] = {{Kind::undefined, "jinja2.runtime."},
                                 {Kind::loop, "jinja2.runtime."},
                                 {Kind::macro, "jinja2.runtime."},
                                 {Kind::cycler, "jinja2.utils."},
                                 {Kind::joiner, "jinja2.utils."},
                                 {Kind::space, "transformers.utils.chat_template_utils."}};
  if (value.is_none()) return "None";
  std::string_view module;
  for (const Module& entry : kModules) {
    if (entry.kind == value.kind) module = entry.name;
  }
  if (value.is_string() && value.safe) module = "markupsafe.";
  if (value.is(Kind::tuple) && value.list->group) module = "jinja2.filters.";
  return cat(module, type_name(value), " object");
}

}  // namespace

std::string undefined_message(const Value& value) {
  const UndefinedInfo& info = *value.undefined;
  if (!info.hint.empty()) return std::string(info.hint);
  Runtime scratch(std::nullopt);
  const std::string name = repr(scratch, info.name);
  if (info.object.is_missing()) return cat(name, " is undefined");
  const std::string object = describe_object(info.object);
  if (!info.name.is_string()) return cat(object, " has no element ", name);
  return cat(repr_string(object), " has no attribute ", name);
}

void raise_undefined(const Value& value) { raise(undefined_message(value)); }

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': append(out, "&amp;"); break;
      case '<': append(out, "&lt;"); break;
      case '>': append(out, "&gt;"); break;
      case '\'': append(out, "&#39;"); break;
      case '"': append(out, "&#34;"); break;
      default: append(out, std::string_view(&c, 1));
    }
  }
  return out;
}

}  // namespace spate::jinja
