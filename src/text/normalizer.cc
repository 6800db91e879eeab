// The list of normalizers that tokenizer.json may name, and how their nodes are read. The small
// ones are here; the others are functions in files of their own.
#include "text/normalizer.h"

#include <functional>
#include <utility>

#include "base/check.h"
#include "text/base64.h"
#include "text/byte_alphabet.h"
#include "text/character_normalizers.h"
#include "text/json_node.h"
#include "text/normal_forms.h"
#include "text/normalizer_kinds.h"
#include "text/pattern.h"

namespace spate {
namespace {

using Made = std::unique_ptr<Normalizer>;

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
Made make_normal_form(const JsonNode&) {
  return made_of([](std::string_view in, std::string& out) { to_normal_form(form, in, out); });
}

Made make_lowercase(const JsonNode&) { return made_of(to_lower_case); }
Made make_strip_accents(const JsonNode&) { return made_of(strip_accents); }
Made make_nmt(const JsonNode&) { return made_of(nmt_normalize); }

Made make_strip(const JsonNode& node) {
  const bool left = node["strip_left"].flag(true);
  const bool right = node["strip_right"].flag(true);
  return made_of(
      [left, right](std::string_view in, std::string& out) { strip_spaces(left, right, in, out); });
}

Made make_bert(const JsonNode& node) {
  BertRules rules{.clean_text = node["clean_text"].flag(true),
                  .handle_chinese_chars = node["handle_chinese_chars"].flag(true),
                  .lower_case = node["lowercase"].flag(true)};
  if (const JsonNode accents = node["strip_accents"]; !accents.is_null()) {
    rules.strip_accents = accents.flag();
  }
  return made_of(
      [rules](std::string_view in, std::string& out) { bert_normalize(rules, in, out); });
}

Made make_prepend(const JsonNode& node) {
  return made_of([prefix = node["prepend"].text()](std::string_view in, std::string& out) {
    out = in.empty() ? "" : prefix;
    out += in;
  });
}

Made make_replace(const JsonNode& node);
Made make_precompiled(const JsonNode& node);
Made make_byte_level(const JsonNode& node);
Made make_sequence(const JsonNode& node);

struct Kind {
  std::string_view type;
  Made (*make)(const JsonNode& node);
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
    {"ByteLevel", make_byte_level},
    {"Sequence", make_sequence},
};

Made make(const JsonNode& node) {
  const JsonNode type = node["type"];
  std::string known;
  for (const Kind& kind : kKinds) {
    if (kind.type == type.text()) {
      return kind.make(node);
    }
    known += cat(known.empty() ? "" : ", ", kind.type);
  }
  type.complain("found \"", type.text(), "\", expected one of ", known);
}

Made make_sequence(const JsonNode& node) {
  std::vector<Made> steps;
  for (const JsonNode& step : node["normalizers"].items()) {
    steps.push_back(make(step));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

Made make_byte_level(const JsonNode&) {
  return made_of([alphabet = ByteAlphabet()](std::string_view in, std::string& out) {
    out = alphabet.write(in);
  });
}

Made make_precompiled(const JsonNode& node) {
  const JsonNode charsmap = node["precompiled_charsmap"];
  return make_precompiled_normalizer(decode_base64(charsmap.text(""), charsmap.where()),
                                     charsmap.where());
}

std::shared_ptr<const Pattern> read_pattern(const JsonNode& node) {
  if (const JsonNode regex = node["Regex"]; !regex.is_null()) {
    return make_regex_pattern(regex.text(), regex.where());
  }
  const JsonNode literal = node["String"];
  if (literal.text().empty()) {
    literal.complain("expected a text that is not empty");
  }
  return make_literal_pattern(literal.text());
}

Made make_replace(const JsonNode& node) {
  return made_of([pattern = read_pattern(node["pattern"]), content = node["content"].text()](
                     std::string_view in, std::string& out) {
    out.clear();
    for (size_t at = 0; at < in.size();) {
      const Span match = pattern->find(in, at);
      out += in.substr(at, match.begin - at);
      if (match.empty()) {
        break;
      }
      out += content;
      at = match.end;
    }
  });
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& node, std::string_view name) {
  if (node.is_null()) {
    return std::make_unique<Sequence>(std::vector<Made>{});
  }
  return make(JsonNode(node, cat(name, ": normalizer")));
}

}  // namespace spate
