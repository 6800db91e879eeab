// Filters on lists, dicts and other things with items that give their result at once;
// lazy_filters.cc has the others.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/iterate.h"
#include "text/jinja/lookup.h"
#include "text/jinja/loop.h"
#include "text/jinja/sort_key.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

// ---- Order

struct Keyed {
  Value key, item;
};

// Stable; `reverse` keeps equal items in their order too.
void sort_by_key(Runtime& runtime, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(runtime, b.key, a.key) : less(runtime, a.key, b.key);
  });
}

Value sorted_list(Runtime& runtime, std::vector<Keyed>& items, bool reverse) {
  sort_by_key(runtime, items, reverse);
  std::vector<Value> values;
  for (const Keyed& entry : items) values.push_back(entry.item);
  return list_value(runtime.heap(), values);
}

// The attributes "a,b.c" of an item as a list that compares from front to back.
Value sort_keys(Runtime& runtime, const Value& item, const Value& attributes, bool case_sensitive) {
  std::vector<Value> keys;
  if (!attributes.is_string()) {
    keys.push_back(get_path(runtime, item, attributes, {}));
  } else {
    std::string_view rest = attributes.string();
    while (true) {
      const size_t comma = rest.find(',');
      keys.push_back(get_path(runtime, item, string(rest.substr(0, comma)), {}));
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  for (Value& key : keys) key = sort_key(runtime, key, case_sensitive);
  return list_value(runtime.heap(), keys);
}

Value sort(CallFrame& frame) {
  std::vector<Keyed> items;
  for (const Value& item : items_of(frame.runtime, frame[0])) {
    items.push_back(
        {sort_keys(frame.runtime, item, frame[3], truth_argument(frame, 2, false)), item});
  }
  return sorted_list(frame.runtime, items, truth_argument(frame, 1, false));
}

Value dictsort(CallFrame& frame) {
  const std::string_view by = !frame.has(2)          ? "key"
                              : frame[2].is_string() ? frame[2].string()
                                                     : std::string_view();
  if (by != "key" && by != "value") raise("You can only sort by either \"key\" or \"value\"");
  if (!frame[0].is(Kind::dict)) {
    check_defined(frame[0]);
    raise("'", type_name(frame[0]), "' object has no attribute 'items'");
  }
  std::vector<Keyed> items;
  for (const DictEntry& entry : frame[0].dict->entries()) {
    const Value pair[] = {entry.key, entry.value};
    const Value key = sort_key(frame.runtime, by == "key" ? entry.key : entry.value,
                               truth_argument(frame, 1, false));
    items.push_back({key, tuple_value(frame.heap(), pair)});
  }
  return sorted_list(frame.runtime, items, truth_argument(frame, 3, false));
}

Value groupby(CallFrame& frame) {
  Runtime& runtime = frame.runtime;
  const bool case_sensitive = truth_argument(frame, 3, false);
  std::vector<Keyed> items;
  for (const Value& item : items_of(runtime, frame[0])) {
    items.push_back(
        {sort_key(runtime, get_path(runtime, item, frame[1], frame[2]), case_sensitive), item});
  }
  sort_by_key(runtime, items, false);
  std::vector<Value> groups;
  for (size_t start = 0; start < items.size();) {
    std::vector<Value> members;
    size_t end = start;
    for (; end < items.size() && equal(runtime, items[end].key, items[start].key); ++end) {
      members.push_back(items[end].item);
    }
    if (end == start) members.push_back(items[end++].item);  // a key that differs from itself: nan
    const Value key =
        case_sensitive ? items[start].key : get_path(runtime, members[0], frame[1], frame[2]);
    const Value pair[] = {key, list_value(frame.heap(), members)};
    Value group = tuple_value(frame.heap(), pair);
    group.list = frame.heap().make<List>(group.list->items, true);
    groups.push_back(group);
    start = end;
  }
  return list_value(frame.heap(), groups);
}

Value reverse(CallFrame& frame) {
  const Value& value = frame[0];
  if (value.is_string()) {
    std::u32string points = decode(value.string());
    std::reverse(points.begin(), points.end());
    return string_value(frame.heap(), encode(points), value.safe);
  }
  switch (value.kind) {
    case Kind::list: return reversed(frame.runtime, value.list->items, "list_reverseiterator");
    case Kind::undefined: return reversed(frame.runtime, {}, "reversed");
    case Kind::tuple: return reversed(frame.runtime, value.list->items, "reversed");
    case Kind::dict:
    case Kind::view:
    case Kind::range:
      return reversed(frame.runtime, items_of(frame.runtime, value), "dict_reversekeyiterator");
    default: break;
  }
  if (!is_iterable(value)) raise("argument must be iterable");
  const std::span<const Value> items = items_of(frame.runtime, value);
  std::vector<Value> backwards(items.rbegin(), items.rend());
  return list_value(frame.heap(), backwards);
}

// ---- Single values

Value first(CallFrame& frame) {
  Value item;
  if (iterate(frame.runtime, frame[0])->next(frame.runtime, item)) return item;
  return undefined_value(frame.heap(), "No first item, sequence was empty.", {}, {});
}

Value last(CallFrame& frame) {
  const Value& value = frame[0];
  if (value.is_string() && value.size > 0) return get_item(frame.runtime, value, integer(-1));
  const bool reversible = value.is_string() || value.is_sequence() || value.is(Kind::dict) ||
                          value.is(Kind::view) || value.is(Kind::range);
  if (!reversible && !value.is_undefined()) {
    raise("'", type_name(value), "' object is not reversible");
  }
  const std::span<const Value> items = items_of(frame.runtime, value);
  if (!items.empty()) return items.back();
  return undefined_value(frame.heap(), "No last item, sequence was empty.", {}, {});
}

Value length(CallFrame& frame) {
  const bool is_loop = frame[0].is(Kind::loop);
  const int64_t found = is_loop ? frame[0].loop->length(frame.runtime) : length_of(frame[0]);
  if (found < 0) raise("object of type '", type_name(frame[0]), "' has no len()");
  return integer(found);
}

Value list(CallFrame& frame) { return list_value(frame.heap(), items_of(frame.runtime, frame[0])); }

template <bool largest>
Value extreme(CallFrame& frame) {
  Iterator* source = iterate(frame.runtime, frame[0]);
  const bool case_sensitive = truth_argument(frame, 1, false);
  Value best, best_key;
  for (Value item; source->next(frame.runtime, item);) {
    const Value key =
        sort_key(frame.runtime, get_path(frame.runtime, item, frame[2], {}), case_sensitive);
    const bool better =
        best.is_missing() ||
        compare(frame.runtime, largest ? Comparison::gt : Comparison::lt, key, best_key);
    if (better) {
      best = item;
      best_key = key;
    }
  }
  if (!best.is_missing()) return best;
  return undefined_value(frame.heap(), "No aggregated item, sequence was empty.", {}, {});
}

Value sum(CallFrame& frame) {
  Value total = frame.has(2) ? frame[2] : integer(0);
  if (total.is_string()) raise("sum() can't sum strings [use ''.join(seq) instead]");
  Iterator* source = iterate(frame.runtime, frame[0]);
  for (Value item; source->next(frame.runtime, item);) {
    total = add(frame.runtime, total, get_path(frame.runtime, item, frame[1], {}));
  }
  return total;
}

Value default_filter(CallFrame& frame) {
  const bool replace =
      frame[0].is_undefined() || (truth_argument(frame, 2, false) && !truth(frame[0]));
  if (!replace) return frame[0];
  return frame.has(1) ? frame[1] : string({});
}

Value attr(CallFrame& frame) {
  check_defined(frame[0]);
  if (!frame[1].is_string()) {
    raise("attribute name must be string, not '", type_name(frame[1]), "'");
  }
  const Value found = find_attribute(frame.runtime, frame[0], frame[1].string());
  return found.is_missing() ? undefined_value(frame.heap(), {}, frame[0], frame[1]) : found;
}

const Filter kFilters[] = {
    {"length", {"len", "obj /"}, length},
    {"count", {"len", "obj /"}, length},
    {"list", {"sync_do_list", "value"}, list},
    {"first", {"sync_do_first", "@ seq"}, first},
    {"last", {"do_last", "@ seq"}, last},
    {"default", {"do_default", "value default_value? boolean?"}, default_filter},
    {"d", {"do_default", "value default_value? boolean?"}, default_filter},
    {"dictsort", {"do_dictsort", "value case_sensitive? by? reverse?"}, dictsort},
    {"sort", {"do_sort", "@ value reverse? case_sensitive? attribute?"}, sort},
    {"reverse", {"do_reverse", "value"}, reverse},
    {"groupby", {"sync_do_groupby", "@ value attribute default? case_sensitive?"}, groupby},
    {"min", {"do_min", "@ value case_sensitive? attribute?"}, extreme<false>},
    {"max", {"do_max", "@ value case_sensitive? attribute?"}, extreme<true>},
    {"sum", {"sync_do_sum", "@ iterable attribute? start?"}, sum},
    {"attr", {"do_attr", "@ obj name"}, attr},
};

}  // namespace

std::span<const Filter> sequence_filters() { return kFilters; }

}  // namespace spate::jinja
