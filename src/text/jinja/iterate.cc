#include "text/jinja/iterate.h"

#include "text/jinja/dict.h"
#include "text/jinja/loop.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

class SpanIterator final : public Iterator {
 public:
  SpanIterator(std::span<const Value> items, std::string_view type)
      : Iterator(type), items_(items) {}
  bool next(Runtime& runtime, Value& item) override {
    runtime.step();
    if (at_ >= items_.size()) return false;
    item = items_[at_++];
    return true;
  }

 private:
  std::span<const Value> items_;
  size_t at_ = 0;
};

class ReverseIterator final : public Iterator {
 public:
  ReverseIterator(std::span<const Value> items, std::string_view type)
      : Iterator(type), items_(items) {}
  bool next(Runtime& runtime, Value& item) override {
    runtime.step();
    if (items_.empty()) return false;
    item = items_.back();
    items_ = items_.first(items_.size() - 1);
    return true;
  }

 private:
  std::span<const Value> items_;
};

class StringIterator final : public Iterator {
 public:
  explicit StringIterator(const Value& text) : Iterator("str_iterator"), text_(text) {}
  bool next(Runtime& runtime, Value& item) override {
    runtime.step();
    if (at_ >= text_.size) return false;
    item = character_at(text_.string(), at_, false);
    return true;
  }

 private:
  Value text_;
  size_t at_ = 0;
};

class RangeIterator final : public Iterator {
 public:
  explicit RangeIterator(const Range* range) : Iterator("range_iterator"), range_(range) {}
  bool next(Runtime& runtime, Value& item) override {
    runtime.step();
    if (at_ >= range_->length) return false;
    item = integer((*range_)[at_++]);
    return true;
  }

 private:
  const Range* range_;
  int64_t at_ = 0;
};

class DictIterator final : public Iterator {
 public:
  DictIterator(const Dict* dict, View::What what)
      : Iterator("dict_keyiterator"), dict_(dict), what_(what) {}
  bool next(Runtime& runtime, Value& item) override {
    runtime.step();
    if (at_ >= dict_->size) return false;
    const DictEntry& entry = dict_->storage[at_++];
    if (what_ == View::What::items) {
      const Value pair[] = {entry.key, entry.value};
      item = tuple_value(runtime.heap(), pair);
    } else {
      item = what_ == View::What::keys ? entry.key : entry.value;
    }
    return true;
  }

 private:
  const Dict* dict_;
  View::What what_;
  uint32_t at_ = 0;
};

// A loop variable that is iterated itself: pairs of an item and the loop.
class LoopIterator final : public Iterator {
 public:
  explicit LoopIterator(const Value& loop) : Iterator("LoopContext"), loop_(loop) {}
  bool next(Runtime& runtime, Value& item) override {
    Value value;
    if (!loop_.loop->next(runtime, value)) return false;
    const Value pair[] = {value, loop_};
    item = tuple_value(runtime.heap(), pair);
    return true;
  }

 private:
  Value loop_;
};

template <class T, class... Parts>
Iterator* make_iterator(Runtime& runtime, Parts&&... parts) {
  static_assert(std::is_trivially_destructible_v<T>);
  return new (runtime.heap().allocate(sizeof(T))) T(std::forward<Parts>(parts)...);
}

}  // namespace

Value iterator_value(Iterator* iterator) {
  Value value;
  value.kind = Kind::iterator;
  value.iterator = iterator;
  return value;
}

Value character_at(std::string_view text, size_t& at, bool safe) {
  const size_t start = at;
  read_code_point(text, at);
  return string(text.substr(start, at - start), safe);
}

Iterator* iterate(Runtime& runtime, const Value& value) {
  switch (value.kind) {
    case Kind::undefined:
      return make_iterator<SpanIterator>(runtime, std::span<const Value>(), "generator");
    case Kind::string: return make_iterator<StringIterator>(runtime, value);
    case Kind::list:
      return make_iterator<SpanIterator>(runtime, value.list->items, "list_iterator");
    case Kind::tuple:
      return make_iterator<SpanIterator>(runtime, value.list->items, "tuple_iterator");
    case Kind::dict: return make_iterator<DictIterator>(runtime, value.dict, View::What::keys);
    case Kind::view:
      return make_iterator<DictIterator>(runtime, value.view->dict, value.view->what);
    case Kind::range: return make_iterator<RangeIterator>(runtime, value.range);
    case Kind::iterator: return value.iterator;
    case Kind::loop: return make_iterator<LoopIterator>(runtime, value);
    default: raise("'", type_name(value), "' object is not iterable");
  }
}

bool is_iterable(const Value& value) {
  switch (value.kind) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::range:
    case Kind::iterator:
    case Kind::loop: return true;
    default: return false;
  }
}

std::span<const Value> items_of(Runtime& runtime, const Value& value) {
  if (value.is_sequence()) return value.list->items;
  std::vector<Value> items;
  Iterator* source = iterate(runtime, value);
  for (Value item; source->next(runtime, item);) items.push_back(item);
  return runtime.heap().copy(items);
}

int64_t length_of(const Value& value) {
  switch (value.kind) {
    case Kind::undefined: return 0;
    case Kind::string: return static_cast<int64_t>(count_code_points(value.string()));
    case Kind::list:
    case Kind::tuple: return static_cast<int64_t>(value.list->items.size());
    case Kind::dict: return value.dict->size;
    case Kind::view: return value.view->dict->size;
    case Kind::range: return value.range->length;
    default: return -1;
  }
}

void raise_unpack(size_t found, size_t expected) {
  if (found > expected) raise("too many values to unpack (expected ", expected, ")");
  raise("not enough values to unpack (expected ", expected, ", got ", found, ")");
}

Value reversed(Runtime& runtime, std::span<const Value> items, std::string_view type_name) {
  return iterator_value(make_iterator<ReverseIterator>(runtime, items, type_name));
}

}  // namespace spate::jinja
