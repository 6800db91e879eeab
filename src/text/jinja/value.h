// The values of templates: Python's, as far as templates see them. A Value is 16 bytes without an
// owner; what it points to lives in the render's Heap, in the request's JSON or in the template.
//
// Integers are 64-bit: an operation whose result does not fit raises instead of growing the number.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "text/jinja/heap.h"

namespace spate::jinja {

enum class Kind : uint8_t {
  missing,    // no value at all: an argument not given, a name not set; templates never hold it
  undefined,  // jinja2's Undefined
  none,
  boolean,
  integer,
  number,
  string,
  list,
  tuple,
  dict,
  range,
  iterator,  // generators and other things read once
  view,      // dict.keys(), values(), items()
  space,     // namespace()
  loop,      // the variable of a for statement
  macro,
  function,  // a global such as range
  method,    // a bound method such as text.strip
  cycler,
  joiner,
};

struct UndefinedInfo;
struct List;
struct Dict;
struct Range;
class Iterator;
struct View;
struct Space;
class Loop;
struct Macro;
struct Function;
struct Method;
struct Cycler;
struct Joiner;

struct Value {
  Kind kind = Kind::missing;
  bool safe = false;  // strings: marked as HTML, jinja2's Markup
  uint32_t size = 0;  // strings: bytes
  union {
    bool truth;
    int64_t integer = 0;
    double number;
    const char* text;
    const UndefinedInfo* undefined;
    const List* list;  // tuples too
    const Dict* dict;
    const Range* range;
    Iterator* iterator;
    const View* view;
    Space* space;
    Loop* loop;
    const Macro* macro;
    const Function* function;
    const Method* method;
    Cycler* cycler;
    Joiner* joiner;
  };

  bool is(Kind other) const { return kind == other; }
  bool is_missing() const { return kind == Kind::missing; }
  bool is_undefined() const { return kind == Kind::undefined; }
  bool is_none() const { return kind == Kind::none; }
  bool is_string() const { return kind == Kind::string; }
  bool is_sequence() const { return kind == Kind::list || kind == Kind::tuple; }
  // Python's bool is an int.
  bool is_integral() const { return kind == Kind::integer || kind == Kind::boolean; }
  bool is_numeric() const { return is_integral() || kind == Kind::number; }

  std::string_view string() const { return {text, size}; }
  int64_t as_integer() const { return kind == Kind::boolean ? int64_t{truth} : integer; }
  double as_number() const {
    return kind == Kind::number ? number : static_cast<double>(as_integer());
  }
};

static_assert(sizeof(Value) == 16);

Value none();
Value boolean(bool value);
Value integer(int64_t value);
Value number(double value);
Value string(std::string_view bytes, bool safe = false);  // borrows the bytes

struct List {
  std::span<const Value> items;
  bool group = false;  // what the filter groupby gives: a tuple with the names grouper and list
};

struct Range {
  int64_t start = 0, stop = 0, step = 1, length = 0;
  int64_t operator[](int64_t i) const { return start + i * step; }
};

struct View {
  enum class What { keys, values, items };
  const Dict* dict = nullptr;
  What what = What::keys;
};

struct Cycler {
  std::span<const Value> items;
  size_t position = 0;
};

struct Joiner {
  Value separator;
  bool used = false;
};

// Why a value is undefined; the message is made when somebody trips over it.
struct UndefinedInfo {
  std::string_view hint;  // the whole message, or empty
  Value object;           // whose attribute or element is missing; missing for variables
  Value name;             // a string, or any key
};

// Something read once, item by item.
class Runtime;
class Iterator {
 public:
  explicit Iterator(std::string_view type_name) : type_name_(type_name) {}
  virtual bool next(Runtime& runtime, Value& item) = 0;      // false at the end
  std::string_view type_name() const { return type_name_; }  // "generator"

 protected:
  ~Iterator() = default;  // lives in a Heap, never destroyed

 private:
  std::string_view type_name_;
};

Value list_value(Heap& heap, std::span<const Value> items);
Value tuple_value(Heap& heap, std::span<const Value> items);
Value undefined_value(Heap& heap, std::string_view hint, Value object, Value name);
Value undefined_variable(Heap& heap, std::string_view name);
Value string_value(Heap& heap, std::string_view bytes, bool safe = false);  // copies the bytes

// Python's type(value).__name__: "str", "NoneType", "dict_items".
std::string_view type_name(const Value& value);

}  // namespace spate::jinja
