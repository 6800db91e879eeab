// The list of names that tokenizer.ggml.pre can have. Unlike tokenizer.json, a GGUF file holds no
// pre-tokenizer, only the name of one, so the nodes of the families' own tokenizer.json files stand
// here. A name that is not in the list is an error: another family's rules would give tokens that
// the model has never seen, without a sign of it.
#include "text/pre_names.h"

#include <string>
#include <vector>

#include "base/check.h"

namespace spate {
namespace {

// ByteLevel after other steps: its own pattern only where the family uses it.
constexpr std::string_view kBytes =
    R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
constexpr std::string_view kGpt2 =
    R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";
constexpr std::string_view kDigits = R"({"type":"Digits","individual_digits":true})";
constexpr std::string_view kNfc = R"({"type":"NFC"})";

std::string split(std::string_view regex) {
  std::string node = R"({"type":"Split","behavior":"Isolated","invert":false,"pattern":{"Regex":)";
  append_json_string(node, regex);
  return node + "}}";
}

std::string sequence(const std::vector<std::string_view>& nodes) {
  std::string out = R"({"type":"Sequence","pretokenizers":[)";
  for (const std::string_view node : nodes) {
    if (out.back() != '[') out += ',';
    out += node;
  }
  return out + "]}";
}

std::string split_to_bytes(std::string_view regex) { return sequence({split(regex), kBytes}); }

std::string digits_then_gpt2() { return sequence({kDigits, kGpt2}); }

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kKimi =
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBloom = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";

// Letters with case, as Unicode 12 knew them.
constexpr std::string_view kCasedLetters =
    R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"
    R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A})"
    R"(\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556})"
    R"(\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF})"
    R"(\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D})"
    R"(\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D})"
    R"(\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})"
    R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"
    R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124})"
    R"(\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})"
    R"(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F})"
    R"(\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"
    R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3})"
    R"(\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF})"
    R"(\x{1E900}-\x{1E943})";

std::string deepseek_llm() {
  return sequence({split(R"([\r\n])"), split(cat(R"(\s?[)", kCasedLetters, "]+")),
                   split(R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)"), split(R"(\s+$)"),
                   split(R"([一-龥ࠀ-一가-퟿]+)"), kDigits, kBytes});
}

std::string deepseek_coder() {
  return sequence({split(R"([\r\n])"), split(R"(\s?\p{L}+)"), split(R"(\s?\p{P}+)"),
                   split(R"([一-龥ࠀ-一가-퟿]+)"), kDigits, kBytes});
}

std::string deepseek_v3() {
  return sequence(
      {split(R"(\p{N}{1,3})"), split(R"([一-龥぀-ゟ゠-ヿ]+)"),
       split(
           R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
       kBytes});
}

std::string falcon() {
  return sequence({R"({"type":"Punctuation","behavior":"Contiguous"})", kGpt2,
                   R"({"type":"Digits","individual_digits":false})", split("[0-9][0-9][0-9]")});
}

std::string viking() { return sequence({split(kBloom), kDigits, kBytes}); }

struct Row {
  std::vector<std::string_view> names;
  std::string pre_tokenizer;
  std::string_view normalizer;
  bool ignore_merges = false, adds_bos = false;
};

std::vector<Row> rows() {
  const std::string gpt2(kGpt2);
  return {
      {{"default", "falcon"}, falcon()},
      {{"gpt-2", "gpt2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat",
        "a.x-4.0", "mellum", "exaone4", "jais", "trillion", "granite-docling"},
       gpt2},
      {{"mpt", "olmo", "modern-bert"}, gpt2, kNfc},
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
       split_to_bytes(kLlama3),
       "",
       true,
       true},
      {{"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, split_to_bytes(kLlama3)},
      {{"qwen2", "deepseek-r1-qwen", "kormo", "stablelm2", "hunyuan", "megrez", "grok-2"},
       split_to_bytes(kQwen2),
       kNfc},
      {{"qwen35"}, split_to_bytes(kQwen35), kNfc},
      {{"bailingmoe", "bailingmoe2", "llada-moe"}, split_to_bytes(kBailing)},
      {{"gpt-4o", "llama4", "minimax-m2", "kanana2"}, split_to_bytes(kGpt4o)},
      {{"tekken"}, split_to_bytes(kTekken), "", true, true},
      {{"kimi-k2"}, split_to_bytes(kKimi)},
      {{"seed-coder"}, split_to_bytes(kSeedCoder)},
      {{"deepseek-llm"}, deepseek_llm()},
      {{"deepseek-coder"}, deepseek_coder()},
      {{"deepseek-v3", "hunyuan-dense"}, deepseek_v3()},
      {{"smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b"}, digits_then_gpt2()},
      {{"command-r"}, digits_then_gpt2(), kNfc},
      {{"bloom", "poro-chat", "gpt3-finnish"}, split_to_bytes(kBloom)},
      {{"viking"}, viking()},
  };
}

}  // namespace

PreName find_pre_name(std::string_view pre, std::string_view name) {
  std::string known;
  for (const Row& row : rows()) {
    for (const std::string_view row_name : row.names) {
      if (row_name == pre) {
        return {parse_json(row.pre_tokenizer, row_name),
                row.normalizer.empty() ? Json() : parse_json(row.normalizer, row_name),
                row.ignore_merges, row.adds_bos};
      }
      known += cat(known.empty() ? "" : ", ", row_name);
    }
  }
  fail(name, ": tokenizer.ggml.pre: found '", pre, "', which is not known; known are ", known);
}

}  // namespace spate
