#include "text/pipeline.h"

namespace spate {
namespace {

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline) : parts_(std::move(pipeline)) {
    kind_ = parts_.kind;
    bos_ = parts_.bos;
    eos_ = parts_.eos;
    std::vector<AddedToken> raw, normalized;
    for (AddedToken& token : parts_.added) {
      (token.normalized ? normalized : raw).push_back(std::move(token));
    }
    parts_.added.clear();
    raw_ = AddedTokens(std::move(raw), nullptr);
    normalized_ = AddedTokens(std::move(normalized), parts_.normalizer.get());
  }

  void encode(std::string_view text, const EncodeOptions& options,
              std::vector<Token>& out) const override {
    if (options.add_special) out.insert(out.end(), parts_.prefix.begin(), parts_.prefix.end());
    std::string normal;
    cut(raw_, text, options, out, [&](std::string_view between, bool at_start) {
      if (parts_.normalizer != nullptr) {
        parts_.normalizer->apply(between, normal);
        between = normal;
      }
      cut(normalized_, between, options, out, [&](std::string_view part, bool first) {
        for_each_piece(parts_.steps, 0, part, at_start && first,
                       [&](std::string_view piece) { parts_.model->encode(piece, out); });
      });
    });
    if (options.add_special) out.insert(out.end(), parts_.suffix.begin(), parts_.suffix.end());
  }

  std::string_view bytes(Token token) const override {
    return in_range(token) ? parts_.bytes.text(token) : std::string_view();
  }
  bool is_special(Token token) const override { return in_range(token) && parts_.special[token]; }
  std::optional<Token> find(std::string_view literal) const override {
    const Token token = parts_.literals.find(literal);
    return token < 0 ? std::nullopt : std::optional(token);
  }
  int vocabulary_size() const override { return static_cast<int>(parts_.literals.size()); }
  bool strips_leading_space() const override { return parts_.strips_leading_space; }

 private:
  bool in_range(Token token) const { return token >= 0 && token < vocabulary_size(); }

  // Appends the added tokens in `text` and calls use(part, whether it begins the text) for what is
  // between them, in order.
  template <class Use>
  static void cut(const AddedTokens& tokens, std::string_view text, const EncodeOptions& options,
                  std::vector<Token>& out, const Use& use) {
    for (size_t at = 0; at < text.size();) {
      const AddedTokens::Found found = tokens.find(text, at, options.parse_special);
      if (found.begin > at) use(text.substr(at, found.begin - at), at == 0);
      if (found.token >= 0) out.push_back(found.token);
      at = found.end;
    }
  }

  Pipeline parts_;
  AddedTokens raw_, normalized_;  // looked for before and after normalizing
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(Pipeline pipeline) {
  return std::make_unique<PipelineTokenizer>(std::move(pipeline));
}

}  // namespace spate
