#include "text/post_processor.h"

namespace spate {
namespace {

constexpr int kDeepest = 16;  // levels of nesting

class Reader {
 public:
  explicit Reader(int64_t vocabulary_size) : vocabulary_size_(vocabulary_size) {}

  void add(const JsonNode& node, int depth) {
    if (node.is_null()) return;
    if (depth > kDeepest) node.complain("found more than ", kDeepest, " levels of nesting");
    const std::string& type = node["type"].text();
    if (type == "Sequence") {
      for (const JsonNode& child : node["processors"].items()) add(child, depth + 1);
    } else if (type == "TemplateProcessing") {
      add_template(node);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      surround({named_token(node["cls"])}, {named_token(node["sep"])});
    } else if (type != "ByteLevel") {
      node["type"].complain("found '", type,
                            "', expected one of Sequence, TemplateProcessing, RobertaProcessing, "
                            "BertProcessing, ByteLevel");
    }
  }

  Surroundings take() { return std::move(out_); }

 private:
  // ["<s>", 1]
  Token named_token(const JsonNode& node) const {
    const std::vector<JsonNode> parts = node.items();
    if (parts.size() != 2) node.complain("expected a token and its number");
    return token(parts[1]);
  }

  Token token(const JsonNode& node) const {
    const int64_t value = node.integer();
    if (value < 0 || value >= vocabulary_size_) {
      node.complain("found ", value, ", expected one of the tokens 0 to ", vocabulary_size_ - 1);
    }
    return static_cast<Token>(value);
  }

  void add_template(const JsonNode& node) {
    std::vector<Token> before, after;
    int texts = 0;
    for (const JsonNode& item : node["single"].items()) {
      if (!item["Sequence"].is_null()) {
        ++texts;
        continue;
      }
      const std::string& id = item["SpecialToken"]["id"].text();
      for (const JsonNode& number : node["special_tokens"][id]["ids"].items()) {
        (texts == 0 ? before : after).push_back(token(number));
      }
    }
    if (texts != 1) node["single"].complain("found ", texts, " sequences, expected one");
    surround(before, after);
  }

  void surround(const std::vector<Token>& before, const std::vector<Token>& after) {
    out_.before.insert(out_.before.begin(), before.begin(), before.end());
    out_.after.insert(out_.after.end(), after.begin(), after.end());
  }

  int64_t vocabulary_size_;
  Surroundings out_;
};

}  // namespace

Surroundings read_post_processor(const JsonNode& node, int64_t vocabulary_size) {
  Reader reader(vocabulary_size);
  reader.add(node, 0);
  return reader.take();
}

}  // namespace spate
