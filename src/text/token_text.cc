#include "text/token_text.h"

#include "text/sentence_pieces.h"

namespace spate {
namespace {

constexpr int kDeepest = 16;  // levels of nesting

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t found = std::min(text.find(from, at), text.size());
    out += text.substr(at, found - at);
    if (found < text.size()) out += to;
    at = found + from.size();
  }
  return out;
}

}  // namespace

TokenText::TokenText(const JsonNode& decoder) { add(decoder, 0); }

void TokenText::add(const JsonNode& node, int depth) {
  if (node.is_null()) return;
  if (depth > kDeepest) node.complain("found more than ", kDeepest, " levels of nesting");
  const std::string& type = node["type"].text();
  if (type == "Sequence") {
    for (const JsonNode& child : node["decoders"].items()) add(child, depth + 1);
  } else if (type == "ByteLevel") {
    in_alphabet_ = true;
  } else if (type == "ByteFallback") {
    byte_fallback_ = true;
  } else if (type == "Metaspace") {
    add_metaspace(node);
  } else if (type == "Replace") {
    const JsonNode from = node["pattern"]["String"];
    if (from.text().empty()) from.complain("expected a text to replace, found none");
    replaced_.emplace_back(from.text(), node["content"].text());
  } else if (type == "Strip") {
    strips_leading_space_ = node["content"].text(" ") == " " && node["start"].integer() > 0;
  } else if (type == "BPEDecoder") {
    end_suffix_ = node["suffix"].text("</w>");
  } else if (type != "Fuse") {
    node["type"].complain("found '", type,
                          "', expected one of Sequence, ByteLevel, ByteFallback, Metaspace, "
                          "Replace, Strip, BPEDecoder, Fuse");
  }
}

void TokenText::add_metaspace(const JsonNode& node) {
  const JsonNode replacement = node["replacement"];
  const std::string mark = replacement.text(kSpaceMark);
  if (mark.empty()) replacement.complain("expected a character, found none");
  replaced_.emplace_back(mark, " ");
  strips_leading_space_ =
      node["add_prefix_space"].flag(true) && node["prepend_scheme"].text("always") != "never";
}

std::string TokenText::of(std::string_view entry) const {
  if (in_alphabet_) return alphabet_.read(entry).value_or(std::string(entry));
  return of_added(entry);
}

std::string TokenText::of_added(std::string_view entry) const {
  std::string out(entry);
  if (in_alphabet_) return out;
  if (byte_fallback_ && byte_of_piece(entry) >= 0) return text_of_piece(entry);
  for (const auto& [from, to] : replaced_) out = replaced(out, from, to);
  if (!end_suffix_.empty() && out.ends_with(end_suffix_)) {
    out.replace(out.size() - end_suffix_.size(), end_suffix_.size(), " ");
  }
  return out;
}

}  // namespace spate
