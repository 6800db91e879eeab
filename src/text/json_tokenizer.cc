// Tokenizers from tokenizer.json and the files beside it. What the fields mean is defined by the
// package `tokenizers`, which wrote the file; tokenizer_config.json belongs to `transformers`.
#include <algorithm>
#include <unordered_map>

#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/json_node.h"
#include "text/kinds.h"
#include "text/models.h"
#include "text/pieces.h"
#include "text/post_processor.h"
#include "text/token_text.h"
#include "text/unigram.h"

namespace spate {
namespace {

constexpr int64_t kMostTokens = 1 << 24;  // a number past it is a mistake, not a vocabulary

using Entries = std::vector<std::string_view>;  // by token; empty where a number is not used

JsonNode root(const HuggingFaceVocabulary& files) { return {files.tokenizer, files.name + ": "}; }

void put_entry(Entries& entries, const JsonNode& node, int64_t number, std::string_view content) {
  if (number < 0 || number >= kMostTokens) {
    node.complain("found the token number ", number, ", expected 0 to ", kMostTokens - 1);
  }
  if (static_cast<size_t>(number) >= entries.size()) entries.resize(number + 1);
  entries[number] = content;
}

// {"text": number, ...}
Entries read_vocab(const JsonNode& vocab) {
  if (!vocab.value().is_object()) {
    vocab.complain("expected an object of tokens and their numbers, found ",
                   type_name(vocab.value().type()));
  }
  Entries entries;
  for (const JsonMember& member : vocab.value().as_object()) {
    if (!member.second.is_integer()) {
      vocab[member.first].complain("expected an integer, found ", type_name(member.second.type()));
    }
    put_entry(entries, vocab, member.second.as_integer(), member.first);
  }
  if (entries.empty()) vocab.complain("found no tokens");
  return entries;
}

// The added tokens of both files. A token that the model has keeps its number; others get the next
// free ones, as `tokenizers` gives them.
class AddedReader {
 public:
  AddedReader(const Entries& model, int64_t model_size) : next_(model_size) {
    for (size_t i = 0; i < model.size(); ++i) {
      if (!model[i].empty()) numbers_.emplace(model[i], static_cast<int64_t>(i));
    }
  }

  void read(const HuggingFaceVocabulary& files) {
    const JsonNode list = root(files)["added_tokens"];
    if (!list.is_null()) {
      for (const JsonNode& node : list.items()) add(node);
    }
    const JsonNode more =
        JsonNode(files.config, files.name + "'s tokenizer_config.json: ")["added_tokens_decoder"];
    if (more.is_null()) return;
    for (const JsonMember& member : more.value().as_object()) {
      const JsonNode node(member.second, more.where() + "." + member.first);
      if (numbers_.count(node["content"].text()) == 0) add(node);
    }
  }

  std::vector<AddedToken> take() { return std::move(tokens_); }

 private:
  void add(const JsonNode& node) {
    const bool special = node["special"].flag(false);
    AddedToken token{.content = node["content"].text(),
                     .special = special,
                     .normalized = node["normalized"].flag(!special),
                     .single_word = node["single_word"].flag(false),
                     .strip_left = node["lstrip"].flag(false),
                     .strip_right = node["rstrip"].flag(false)};
    if (token.content.empty()) return;
    const auto [number, is_new] = numbers_.emplace(token.content, next_);
    if (is_new) ++next_;
    token.token = static_cast<Token>(number->second);
    const auto [place, is_first] = places_.emplace(token.content, tokens_.size());
    if (is_first) {
      tokens_.push_back(std::move(token));
    } else {
      tokens_[place->second] = std::move(token);  // a repeated one replaces the first
    }
  }

  std::unordered_map<std::string, int64_t> numbers_;
  std::unordered_map<std::string, size_t> places_;  // in tokens_
  int64_t next_;
  std::vector<AddedToken> tokens_;
};

// "<s>" or {"content": "<s>", ...}; the first of the files that says so.
std::optional<Token> named_token(const HuggingFaceVocabulary& files, const StringTable& literals,
                                 std::string_view key) {
  for (const Json* file : {&files.config, &files.special_tokens_map}) {
    const Json* value = file->find(key);
    if (value != nullptr && value->is_object()) value = value->find("content");
    if (value == nullptr || !value->is_string()) continue;
    const Token token = literals.find(value->as_string());
    if (token >= 0) return token;
  }
  return std::nullopt;
}

// The tokenizer classes of `transformers` that put BOS and EOS themselves where their config says
// so, whatever the post-processor does.
bool has_own_rule(const HuggingFaceVocabulary& files) {
  static constexpr std::string_view kClasses[] = {"LlamaTokenizer", "CodeLlamaTokenizer",
                                                  "GemmaTokenizer", "CohereTokenizer"};
  const Json* name = files.config.find("tokenizer_class");
  if (name == nullptr || !name->is_string()) return false;
  std::string_view text = name->as_string();
  if (text.ends_with("Fast")) text.remove_suffix(4);
  return std::find(std::begin(kClasses), std::end(kClasses), text) != std::end(kClasses);
}

void apply_own_rule(const HuggingFaceVocabulary& files, Pipeline& out) {
  const auto apply = [&](std::string_view key, std::optional<Token> token,
                         std::vector<Token>& where) {
    const Json* value = files.config.find(key);
    if (value == nullptr || !value->is_bool()) return;
    where.clear();
    if (value->as_bool() && token) where.push_back(*token);
  };
  apply("add_bos_token", out.bos, out.prefix);
  apply("add_eos_token", out.eos, out.suffix);
}

// All but the model. `byte_level` is answered for it.
Pipeline begin(const HuggingFaceVocabulary& files, const Entries& model, std::string kind,
               bool& byte_level) {
  const JsonNode file = root(files);
  AddedReader reader(
      model, static_cast<int64_t>(std::count_if(
                 model.begin(), model.end(), [](std::string_view text) { return !text.empty(); })));
  reader.read(files);
  Pipeline out;
  out.kind = std::move(kind);
  out.added = reader.take();
  size_t size = model.size();
  for (const AddedToken& token : out.added) size = std::max<size_t>(size, token.token + 1);

  Entries literals(model);
  literals.resize(size);
  std::vector<bool> added(size);
  out.special.resize(size);
  for (const AddedToken& token : out.added) {
    literals[token.token] = token.content;
    added[token.token] = true;
    out.special[token.token] = token.special;
  }
  const TokenText texts(file["decoder"]);
  out.strips_leading_space = texts.strips_leading_space();
  out.literals.reserve(size);
  out.bytes.reserve(size);
  for (size_t i = 0; i < size; ++i) {
    out.literals.add(literals[i], !literals[i].empty());
    out.bytes.add(added[i] ? texts.of_added(literals[i]) : texts.of(literals[i]), false);
  }

  if (!file["normalizer"].is_null()) {
    out.normalizer = make_normalizer(file["normalizer"].value(), files.name);
  }
  PreTokenizer pre = make_pre_tokenizer(file["pre_tokenizer"].value(), files.name);
  out.steps = std::move(pre.steps);
  byte_level = pre.byte_level;

  const Surroundings around =
      read_post_processor(file["post_processor"], static_cast<int64_t>(size));
  out.prefix = around.before;
  out.suffix = around.after;
  out.bos = named_token(files, out.literals, "bos_token");
  out.eos = named_token(files, out.literals, "eos_token");
  if (has_own_rule(files)) apply_own_rule(files, out);
  return out;
}

// Each merge is "left right" or ["left", "right"].
std::pair<std::string_view, std::string_view> merge_parts(const JsonNode& node) {
  if (node.value().is_array()) {
    const JsonArray& parts = node.value().as_array();
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string()) {
      node.complain("expected two strings");
    }
    return {parts[0].as_string(), parts[1].as_string()};
  }
  const std::string_view text = node.text();
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    node.complain("found '", text, "', expected two tokens with a space between");
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

std::vector<Merge> read_merges(const JsonNode& list, const StringTable& model,
                               std::string_view continuing_prefix) {
  std::vector<Merge> merges;
  if (!list.value().is_array()) {
    list.complain("expected an array, found ", type_name(list.value().type()));
  }
  const JsonArray& items = list.value().as_array();
  merges.reserve(items.size());
  std::string joined;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].is_string() && items[i].as_string().starts_with("#version")) continue;
    const auto where = [&] { return JsonNode(items[i], cat(list.where(), "[", i, "]")); };
    const auto [left, right] = merge_parts(where());
    std::string_view rest = right;
    if (rest.starts_with(continuing_prefix)) rest.remove_prefix(continuing_prefix.size());
    joined.assign(left).append(rest);
    const Merge merge{model.find(left), model.find(right), model.find(joined)};
    if (merge.left < 0 || merge.right < 0 || merge.joined < 0) {
      where().complain("expected '", left, "', '", right, "' and '", joined, "' to be tokens");
    }
    merges.push_back(merge);
  }
  return merges;
}

// The model's own entries, without added tokens.
StringTable model_table(const Entries& entries) {
  StringTable out;
  out.reserve(entries.size());
  for (const std::string_view entry : entries) out.add(entry, !entry.empty());
  return out;
}

StringTable byte_level_table(const Entries& entries) {
  const ByteAlphabet alphabet;
  StringTable out;
  out.reserve(entries.size());
  for (const std::string_view entry : entries) {
    const std::optional<std::string> bytes = alphabet.read(entry);
    out.add(bytes.value_or(std::string(entry)), bytes.has_value() && !entry.empty());
  }
  return out;
}

}  // namespace

Pipeline make_json_bpe(const HuggingFaceVocabulary& files) {
  const JsonNode model = root(files)["model"];
  if (const JsonNode dropout = model["dropout"];
      !dropout.is_null() && !(dropout.value().is_number() && dropout.value().as_number() == 0)) {
    dropout.complain("expected null: encoding with dropout is for training");
  }
  const Entries entries = read_vocab(model["vocab"]);
  BpeRules rules{.ignore_merges = model["ignore_merges"].flag(false),
                 .byte_fallback = model["byte_fallback"].flag(false),
                 .fuse_unknown = model["fuse_unk"].flag(false),
                 .continuing_prefix = model["continuing_subword_prefix"].text(""),
                 .end_suffix = model["end_of_word_suffix"].text("")};
  Pipeline out = begin(files, entries, "bpe", rules.byte_level);
  StringTable table = model_table(entries);
  const std::vector<Merge> merges = read_merges(model["merges"], table, rules.continuing_prefix);
  if (const JsonNode unknown = model["unk_token"]; !unknown.is_null()) {
    const Token token = table.find(unknown.text());
    if (token < 0 && !unknown.text().empty()) {
      unknown.complain("found '", unknown.text(), "', expected one of the tokens");
    }
    if (token >= 0) rules.unknown = token;
  }
  out.model = make_model<Bpe>(rules.byte_level ? byte_level_table(entries) : std::move(table),
                              merges, std::move(rules));
  return out;
}

Pipeline make_json_unigram(const HuggingFaceVocabulary& files) {
  const JsonNode model = root(files)["model"];
  PieceVocabulary pieces{.name = files.name};
  const JsonNode vocab = model["vocab"];
  if (!vocab.value().is_array()) {
    vocab.complain("expected an array of pieces and their scores, found ",
                   type_name(vocab.value().type()));
  }
  for (const Json& item : vocab.value().as_array()) {
    if (!item.is_array() || item.as_array().size() != 2 || !item.as_array()[0].is_string() ||
        !item.as_array()[1].is_number()) {
      fail(vocab.where(), "[", pieces.tokens.size(), "]: expected a piece and its score");
    }
    pieces.tokens.push_back(item.as_array()[0].as_string());
    pieces.scores.push_back(score_as_tokenizers_reads(item.as_array()[1].as_number()));
  }
  if (pieces.tokens.empty()) vocab.complain("found no tokens");
  if (const JsonNode unknown = model["unk_id"]; !unknown.is_null()) {
    const int64_t token = unknown.integer();
    if (token < 0 || token >= static_cast<int64_t>(pieces.tokens.size())) {
      unknown.complain("found ", token, ", expected one of the ", pieces.tokens.size(), " tokens");
    }
    pieces.unknown = static_cast<Token>(token);
  }
  pieces.byte_fallback = model["byte_fallback"].flag(false);
  bool byte_level = false;
  Pipeline out = begin(files, pieces.tokens, "unigram", byte_level);
  if (byte_level) model.complain("found Unigram with ByteLevel, expected Metaspace");
  out.model = make_model<UnigramModel>(pieces);
  return out;
}

std::string json_model_kind(const HuggingFaceVocabulary& files) {
  const JsonNode model = root(files)["model"];
  if (model.is_null()) model.complain("the file has no model");
  if (!model["type"].is_null()) return model["type"].text();
  return model["merges"].is_null() ? "Unigram" : "BPE";  // files older than the field
}

}  // namespace spate
