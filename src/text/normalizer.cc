// The list of normalizers that tokenizer.json may name, and how their nodes are read. The small
// ones are here; the others are functions in files of their own.
#include "text/normalizer.h"

#include <functional>
#include <optional>
#include <utility>

#include "base/check.h"
#include "text/base64.h"
#include "text/character_normalizers.h"
#include "text/normal_forms.h"
#include "text/normalizer_kinds.h"

namespace spate {
namespace {

using Made = std::unique_ptr<Normalizer>;

// A node and its place in the file, for error texts.
struct Node {
  const Json& json;
  std::string where;

  const std::string& text(std::string_view key) const {
    const Json* value = json.find(key);
    if (value == nullptr || !value->is_string()) {
      fail(where, ".", key, ": expected a string, found ",
           value == nullptr ? "nothing" : type_name(value->type()));
    }
    return value->as_string();
  }

  std::optional<bool> flag(std::string_view key) const {
    const Json* value = json.find(key);
    if (value == nullptr || value->is_null()) {
      return std::nullopt;
    }
    if (!value->is_bool()) {
      fail(where, ".", key, ": expected a boolean, found ", type_name(value->type()));
    }
    return value->as_bool();
  }
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<Made> steps) : steps_(std::move(steps)) {}

  void apply(std::string_view in, std::string& out) const override {
    out = in;
    std::string before;
    for (const Made& step : steps_) {
      std::swap(before, out);
      step->apply(before, out);
    }
  }

 private:
  std::vector<Made> steps_;
};

// A normalizer that is one function.
class Function final : public Normalizer {
 public:
  using Body = std::function<void(std::string_view in, std::string& out)>;
  explicit Function(Body body) : body_(std::move(body)) {}
  void apply(std::string_view in, std::string& out) const override { body_(in, out); }

 private:
  Body body_;
};

Made made_of(Function::Body body) { return std::make_unique<Function>(std::move(body)); }

template <NormalForm form>
Made make_normal_form(const Node&) {
  return made_of([](std::string_view in, std::string& out) { to_normal_form(form, in, out); });
}

Made make_lowercase(const Node&) { return made_of(to_lower_case); }
Made make_strip_accents(const Node&) { return made_of(strip_accents); }
Made make_nmt(const Node&) { return made_of(nmt_normalize); }

Made make_strip(const Node& node) {
  const bool left = node.flag("strip_left").value_or(true);
  const bool right = node.flag("strip_right").value_or(true);
  return made_of(
      [left, right](std::string_view in, std::string& out) { strip_spaces(left, right, in, out); });
}

Made make_bert(const Node& node) {
  const BertRules rules{
      .clean_text = node.flag("clean_text").value_or(true),
      .handle_chinese_chars = node.flag("handle_chinese_chars").value_or(true),
      .lower_case = node.flag("lowercase").value_or(true),
      .strip_accents = node.flag("strip_accents"),
  };
  return made_of(
      [rules](std::string_view in, std::string& out) { bert_normalize(rules, in, out); });
}

Made make_prepend(const Node& node) {
  return made_of([prefix = node.text("prepend")](std::string_view in, std::string& out) {
    out = in.empty() ? "" : prefix;
    out += in;
  });
}

Made make_replace(const Node& node);
Made make_precompiled(const Node& node);
Made make_sequence(const Node& node);

struct Kind {
  std::string_view type;
  Made (*make)(const Node& node);
};

constexpr Kind kKinds[] = {
    {"NFC", make_normal_form<NormalForm::nfc>},
    {"NFD", make_normal_form<NormalForm::nfd>},
    {"NFKC", make_normal_form<NormalForm::nfkc>},
    {"NFKD", make_normal_form<NormalForm::nfkd>},
    {"Lowercase", make_lowercase},
    {"Strip", make_strip},
    {"StripAccents", make_strip_accents},
    {"Replace", make_replace},
    {"Prepend", make_prepend},
    {"Precompiled", make_precompiled},
    {"BertNormalizer", make_bert},
    {"Nmt", make_nmt},
    {"Sequence", make_sequence},
};

Made make(const Node& node) {
  const std::string& type = node.text("type");
  std::string known;
  for (const Kind& kind : kKinds) {
    if (kind.type == type) {
      return kind.make(node);
    }
    known += cat(known.empty() ? "" : ", ", kind.type);
  }
  fail(node.where, ".type: found \"", type, "\", expected one of ", known);
}

Made make_sequence(const Node& node) {
  const Json* list = node.json.find("normalizers");
  if (list == nullptr || !list->is_array()) {
    fail(node.where, ".normalizers: expected an array, found ",
         list == nullptr ? "nothing" : type_name(list->type()));
  }
  std::vector<Made> steps;
  for (const Json& step : list->as_array()) {
    steps.push_back(make({step, cat(node.where, ".normalizers[", steps.size(), "]")}));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

Made make_precompiled(const Node& node) {
  const Json* charsmap = node.json.find("precompiled_charsmap");
  const std::string where = cat(node.where, ".precompiled_charsmap");
  const bool empty = charsmap == nullptr || charsmap->is_null();
  const std::string bytes =
      empty ? std::string() : decode_base64(node.text("precompiled_charsmap"), where);
  return make_precompiled_normalizer(bytes, where);
}

void replace_literal(std::string_view from, std::string_view to, std::string_view in,
                     std::string& out) {
  out.clear();
  while (true) {
    const size_t at = in.find(from);
    out += in.substr(0, at);
    if (at == std::string_view::npos) {
      return;
    }
    out += to;
    in.remove_prefix(at + from.size());
  }
}

Made make_replace(const Node& node) {
  const Json* pattern = node.json.find("pattern");
  const std::string where = cat(node.where, ".pattern");
  const Node pattern_node{pattern == nullptr ? node.json : *pattern, where};
  const std::string to = node.text("content");
  if (pattern_node.json.find("Regex") == nullptr) {
    const std::string from = pattern_node.text("String");
    if (from.empty()) {
      fail(where, ".String: expected a text that is not empty");
    }
    return made_of(
        [from, to](std::string_view in, std::string& out) { replace_literal(from, to, in, out); });
  }
  fail(where, ".Regex: expected String");
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& node, std::string_view name) {
  if (node.is_null()) {
    return std::make_unique<Sequence>(std::vector<Made>{});
  }
  return make({node, cat(name, ": normalizer")});
}

}  // namespace spate
