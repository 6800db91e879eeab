// The list of pre-tokenizers that tokenizer.json can name.
#include "text/json_node.h"
#include "text/splitter.h"

namespace spate {
namespace {

// Deeper nodes are a mistake; the limit keeps a hostile file from exhausting the stack.
constexpr int kDeepest = 16;

void add_node(const JsonNode& node, int depth, PreTokenizer& out);

Behavior behavior_of(const JsonNode& node, Behavior when_null) {
  struct Row {
    std::string_view name;
    Behavior behavior;
  };
  static constexpr Row kRows[] = {{"Removed", Behavior::removed},
                                  {"Isolated", Behavior::isolated},
                                  {"MergedWithPrevious", Behavior::merged_with_previous},
                                  {"MergedWithNext", Behavior::merged_with_next},
                                  {"Contiguous", Behavior::contiguous}};
  if (node.is_null()) return when_null;
  for (const Row& row : kRows) {
    if (node.text() == row.name) return row.behavior;
  }
  node.complain("found '", node.text(),
                "', expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

void add_sequence(const JsonNode& node, int depth, PreTokenizer& out) {
  for (const JsonNode& child : node["pretokenizers"].items()) add_node(child, depth + 1, out);
}

void add_byte_level(const JsonNode& node, int, PreTokenizer& out) {
  if (out.byte_level) node.complain("found a second ByteLevel, expected one at most");
  if (node["add_prefix_space"].flag(true)) out.steps.push_back(make_space_prefix());
  if (node["use_regex"].flag(true)) out.steps.push_back(make_split(make_gpt2_pattern()));
  out.byte_level = true;
}

void add_split(const JsonNode& node, int, PreTokenizer& out) {
  const JsonNode pattern = node["pattern"];
  const JsonNode literal = pattern["String"], regex = pattern["Regex"];
  if (literal.is_null() == regex.is_null()) {
    pattern.complain("expected {\"String\": ...} or {\"Regex\": ...}");
  }
  out.steps.push_back(make_split(regex.is_null() ? make_literal_pattern(literal.text())
                                                 : make_regex_pattern(regex.text(), regex.where()),
                                 behavior_of(node["behavior"], Behavior::isolated),
                                 node["invert"].flag(false)));
}

void add_digits(const JsonNode& node, int, PreTokenizer& out) {
  const bool one_by_one = node["individual_digits"].flag(false);
  out.steps.push_back(make_split(make_pattern(RunRule{.classes = kNumeric, .most = 1}),
                                 one_by_one ? Behavior::isolated : Behavior::contiguous));
}

void add_punctuation(const JsonNode& node, int, PreTokenizer& out) {
  out.steps.push_back(make_split(make_pattern(RunRule{.classes = kBertPunctuation, .most = 1}),
                                 behavior_of(node["behavior"], Behavior::isolated)));
}

// \w+|[^\w\s]+
void add_whitespace(const JsonNode&, int, PreTokenizer& out) {
  out.steps.push_back(
      make_split(make_pattern(RunRule{.classes = kSpace, .most = 1}), Behavior::removed));
  out.steps.push_back(make_split(make_pattern(RunRule{.classes = kWord})));
}

void add_whitespace_split(const JsonNode&, int, PreTokenizer& out) {
  out.steps.push_back(
      make_split(make_pattern(RunRule{.classes = kSpace, .most = 1}), Behavior::removed));
}

void add_metaspace(const JsonNode& node, int, PreTokenizer& out) {
  using Prepend = MetaspaceRule::Prepend;
  const std::string scheme =
      node["prepend_scheme"].text(node["add_prefix_space"].flag(true) ? "always" : "never");
  MetaspaceRule rule{.replacement = node["replacement"].text("\xE2\x96\x81")};
  if (rule.replacement.empty()) node["replacement"].complain("expected a character, found none");
  if (scheme == "always") {
    rule.prepend = Prepend::always;
  } else if (scheme == "first") {
    rule.prepend = Prepend::first;
  } else if (scheme == "never") {
    rule.prepend = Prepend::never;
  } else {
    node["prepend_scheme"].complain("found '", scheme, "', expected always, first or never");
  }
  const std::string replacement = rule.replacement;
  out.steps.push_back(make_metaspace(std::move(rule)));
  if (node["split"].flag(true)) {
    out.steps.push_back(make_split(make_literal_pattern(replacement), Behavior::merged_with_next));
  }
}

struct Kind {
  std::string_view type;
  void (*add)(const JsonNode& node, int depth, PreTokenizer& out);
};

constexpr Kind kKinds[] = {
    {"Sequence", add_sequence},
    {"ByteLevel", add_byte_level},
    {"Split", add_split},
    {"Digits", add_digits},
    {"Punctuation", add_punctuation},
    {"Whitespace", add_whitespace},
    {"WhitespaceSplit", add_whitespace_split},
    {"Metaspace", add_metaspace},
};

void add_node(const JsonNode& node, int depth, PreTokenizer& out) {
  if (depth > kDeepest) node.complain("found more than ", kDeepest, " levels of nesting");
  if (node.is_null()) return;
  const std::string& type = node["type"].text();
  for (const Kind& kind : kKinds) {
    if (type != kind.type) continue;
    if (out.byte_level && !out.in_alphabet && kind.add != add_sequence) {
      out.steps.push_back(make_byte_alphabet_writer());
      out.in_alphabet = true;
    }
    kind.add(node, depth, out);
    return;
  }
  std::string known;
  for (const Kind& kind : kKinds) known += cat(known.empty() ? "" : ", ", kind.type);
  node["type"].complain("found '", type, "', expected one of ", known);
}

}  // namespace

PreTokenizer make_pre_tokenizer(const Json& node, std::string_view name) {
  PreTokenizer out;
  add_node(JsonNode(node, cat(name, ": pre_tokenizer")), 0, out);
  if (out.in_alphabet) out.steps.push_back(make_byte_alphabet_reader());
  return out;
}

}  // namespace spate
