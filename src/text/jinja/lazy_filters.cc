// Filters that Python makes generators of, and so they are here: read once, item by item, true even
// when nothing comes out.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/iterate.h"
#include "text/jinja/lookup.h"
#include "text/jinja/sort_key.h"

namespace spate::jinja {
namespace {

// Arguments that outlive the call, for generators.
Arguments keep(Heap& heap, std::span<const Value> positional, std::span<const NamedValue> named) {
  const std::span<Value> values = heap.array<Value>(positional.size());
  std::copy(positional.begin(), positional.end(), values.begin());
  const std::span<NamedValue> names = heap.array<NamedValue>(named.size());
  std::copy(named.begin(), named.end(), names.begin());
  return {values, names};
}

template <class T, class... Parts>
Value generator(CallFrame& frame, Parts&&... parts) {
  static_assert(std::is_trivially_destructible_v<T>);
  return iterator_value(new (frame.heap().allocate(sizeof(T))) T(std::forward<Parts>(parts)...));
}

const NamedValue* named(const Arguments& arguments, std::string_view name) {
  for (const NamedValue& argument : arguments.named) {
    if (argument.name == name) return &argument;
  }
  return nullptr;
}

// ---- map

class MapIterator final : public Iterator {
 public:
  MapIterator(const Value& source, const Arguments& arguments)
      : Iterator("generator"), source_(source), arguments_(arguments) {}

  bool next(Runtime& runtime, Value& item) override {
    if (!truth(source_)) return false;
    if (items_ == nullptr) prepare(runtime);
    if (!items_->next(runtime, item)) return false;
    item = filter_ != nullptr ? apply_filter(runtime, *filter_, item, rest_)
                              : get_path(runtime, item, attribute_, default_);
    return true;
  }

 private:
  void prepare(Runtime& runtime) {
    const NamedValue* attribute = named(arguments_, "attribute");
    if (arguments_.positional.empty() && attribute != nullptr) {
      attribute_ = attribute->value;
      if (const NamedValue* found = named(arguments_, "default")) default_ = found->value;
      for (const NamedValue& argument : arguments_.named) {
        if (argument.name != "attribute" && argument.name != "default") {
          raise("Unexpected keyword argument ", repr_string(argument.name));
        }
      }
    } else {
      if (arguments_.positional.empty()) raise("map requires a filter argument");
      filter_ = named_filter(runtime, arguments_.positional[0]);
      rest_ = {arguments_.positional.subspan(1), arguments_.named};
    }
    items_ = iterate(runtime, source_);
  }

  static const Filter* named_filter(Runtime& runtime, const Value& name) {
    const Filter* filter = name.is_string() ? find_filter(name.string()) : nullptr;
    if (filter == nullptr) {
      raise("No filter named ", repr(runtime, name), ".",
            name.is_undefined() ? cat(" (", undefined_message(name),
                                      "; did you forget to quote the callable name?)")
                                : "");
    }
    return filter;
  }

  Value source_;
  Arguments arguments_, rest_;
  Iterator* items_ = nullptr;
  const Filter* filter_ = nullptr;
  Value attribute_, default_;
};

// ---- select and its kin

enum class Keep { matching, others };

class SelectIterator final : public Iterator {
 public:
  SelectIterator(const Value& source, const Arguments& arguments, Keep keep, bool by_attribute)
      : Iterator("generator"),
        source_(source),
        arguments_(arguments),
        keep_(keep),
        by_attribute_(by_attribute) {}

  bool next(Runtime& runtime, Value& item) override {
    if (!truth(source_)) return false;
    if (items_ == nullptr) prepare(runtime);
    while (items_->next(runtime, item)) {
      const Value examined = by_attribute_ ? get_path(runtime, item, attribute_, {}) : item;
      const bool holds =
          has_test_ ? apply_test(runtime, *test(runtime), examined, rest_) : truth(examined);
      if (holds == (keep_ == Keep::matching)) return true;
    }
    return false;
  }

 private:
  void prepare(Runtime& runtime) {
    std::span<const Value> rest = arguments_.positional;
    if (by_attribute_) {
      if (rest.empty()) raise("Missing parameter for attribute name");
      attribute_ = rest[0];
      rest = rest.subspan(1);
    }
    has_test_ = !rest.empty();
    if (has_test_) {
      test_name_ = rest[0];
      rest_ = {rest.subspan(1), arguments_.named};
    }
    items_ = iterate(runtime, source_);
  }

  const Test* test(Runtime& runtime) {
    if (test_ == nullptr && test_name_.is_string()) test_ = find_test(test_name_.string());
    if (test_ == nullptr) {
      raise("No test named ", repr(runtime, test_name_), ".",
            test_name_.is_undefined() ? cat(" (", undefined_message(test_name_),
                                            "; did you forget to quote the callable name?)")
                                      : "");
    }
    return test_;
  }

  Value source_;
  Arguments arguments_, rest_;
  Keep keep_;
  bool by_attribute_, has_test_ = false;
  Iterator* items_ = nullptr;
  const Test* test_ = nullptr;
  Value attribute_, test_name_;
};

Value map_filter(CallFrame& frame) {
  return generator<MapIterator>(frame, frame[0],
                                keep(frame.heap(), frame.raw.positional, frame.raw.named));
}

template <Keep keep_which, bool by_attribute>
Value select_filter(CallFrame& frame) {
  return generator<SelectIterator>(frame, frame[0],
                                   keep(frame.heap(), frame.raw.positional, frame.raw.named),
                                   keep_which, by_attribute);
}

// ---- unique, items, batch, slice

class UniqueIterator final : public Iterator {
 public:
  UniqueIterator(const Value& source, bool case_sensitive, const Value& attribute, Dict* seen)
      : Iterator("generator"),
        source_(source),
        case_sensitive_(case_sensitive),
        attribute_(attribute),
        seen_(seen) {}

  bool next(Runtime& runtime, Value& item) override {
    if (items_ == nullptr) items_ = iterate(runtime, source_);
    while (items_->next(runtime, item)) {
      const Value key = sort_key(runtime, get_path(runtime, item, attribute_, {}), case_sensitive_);
      if (find(runtime, *seen_, key) != nullptr) continue;
      insert(runtime, *seen_, key, none());
      return true;
    }
    return false;
  }

 private:
  Value source_;
  bool case_sensitive_;
  Value attribute_;
  Dict* seen_;
  Iterator* items_ = nullptr;
};

class ItemsIterator final : public Iterator {
 public:
  explicit ItemsIterator(const Value& source) : Iterator("generator"), source_(source) {}

  bool next(Runtime& runtime, Value& item) override {
    runtime.step();
    if (source_.is_undefined()) return false;
    if (!source_.is(Kind::dict)) raise("Can only get item pairs from a mapping.");
    if (at_ >= source_.dict->size) return false;
    const DictEntry& entry = source_.dict->storage[at_++];
    const Value pair[] = {entry.key, entry.value};
    item = tuple_value(runtime.heap(), pair);
    return true;
  }

 private:
  Value source_;
  uint32_t at_ = 0;
};

class BatchIterator final : public Iterator {
 public:
  BatchIterator(const Value& source, int64_t size, const Value& fill)
      : Iterator("generator"), source_(source), size_(size), fill_(fill) {}

  bool next(Runtime& runtime, Value& item) override {
    if (items_ == nullptr) items_ = iterate(runtime, source_);
    std::vector<Value> batch;
    if (has_ahead_) batch.push_back(ahead_);
    has_ahead_ = false;
    for (Value next; items_->next(runtime, next);) {
      // A full batch is given when one more item comes; an empty one counts as full for size 0.
      if (static_cast<int64_t>(batch.size()) == size_) {
        ahead_ = next;
        has_ahead_ = true;
        item = list_value(runtime.heap(), batch);
        return true;
      }
      batch.push_back(next);
    }
    if (batch.empty()) return false;
    if (!fill_.is_none() && !fill_.is_missing()) {
      while (static_cast<int64_t>(batch.size()) < size_) {
        runtime.step();
        batch.push_back(fill_);
      }
    }
    item = list_value(runtime.heap(), batch);
    return true;
  }

 private:
  Value source_;
  int64_t size_;
  Value fill_;
  Iterator* items_ = nullptr;
  Value ahead_;
  bool has_ahead_ = false;
};

class SliceIterator final : public Iterator {
 public:
  SliceIterator(const Value& source, int64_t slices, const Value& fill)
      : Iterator("generator"), source_(source), slices_(slices), fill_(fill) {}

  bool next(Runtime& runtime, Value& item) override {
    runtime.step();
    if (!started_) {
      items_ = items_of(runtime, source_);
      if (slices_ == 0) raise("integer division or modulo by zero");
      started_ = true;
    }
    if (at_ >= slices_) return false;
    const auto length = static_cast<int64_t>(items_.size());
    const int64_t each = length / slices_, longer = length % slices_;
    const int64_t start = at_ * each + std::min(at_, longer);
    const int64_t count = each + (at_ < longer ? 1 : 0);
    std::vector<Value> slice(items_.begin() + start, items_.begin() + start + count);
    if (!fill_.is_missing() && !fill_.is_none() && at_ >= longer) slice.push_back(fill_);
    ++at_;
    item = list_value(runtime.heap(), slice);
    return true;
  }

 private:
  Value source_;
  int64_t slices_;
  Value fill_;
  std::span<const Value> items_;
  bool started_ = false;
  int64_t at_ = 0;
};

Value unique(CallFrame& frame) {
  return generator<UniqueIterator>(frame, frame[0], truth_argument(frame, 1, false), frame[2],
                                   frame.heap().make<Dict>());
}

Value items(CallFrame& frame) { return generator<ItemsIterator>(frame, frame[0]); }

Value batch(CallFrame& frame) {
  return generator<BatchIterator>(frame, frame[0], integer_argument(frame, 1, 0), frame[2]);
}

Value slice(CallFrame& frame) {
  return generator<SliceIterator>(frame, frame[0], integer_argument(frame, 1, 0), frame[2]);
}

const Filter kFilters[] = {
    {"map", {"sync_do_map", "@ value *"}, map_filter},
    {"select", {"sync_do_select", "@ value *"}, select_filter<Keep::matching, false>},
    {"reject", {"sync_do_reject", "@ value *"}, select_filter<Keep::others, false>},
    {"selectattr", {"sync_do_selectattr", "@ value *"}, select_filter<Keep::matching, true>},
    {"rejectattr", {"sync_do_rejectattr", "@ value *"}, select_filter<Keep::others, true>},
    {"items", {"do_items", "value"}, items},
    {"unique", {"sync_do_unique", "@ value case_sensitive? attribute?"}, unique},
    {"batch", {"do_batch", "value linecount fill_with?"}, batch},
    {"slice", {"sync_do_slice", "value slices fill_with?"}, slice},
};

}  // namespace

std::span<const Filter> lazy_filters() { return kFilters; }

}  // namespace spate::jinja
