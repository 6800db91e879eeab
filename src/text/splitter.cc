#include "text/splitter.h"

#include "text/byte_alphabet.h"

namespace spate {
namespace {

// A text as the matches of a pattern and what lies between them, and what a behaviour makes of
// both.
class Split final : public Step {
 public:
  Split(std::unique_ptr<Pattern> pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  Span next(std::string_view text, size_t at) const override {
    Item item = item_at(text, at);
    switch (behavior_) {
      case Behavior::isolated: break;
      case Behavior::removed:
        while (item.match && at < text.size()) {
          at = item.end;
          item = item_at(text, at);
        }
        break;
      case Behavior::merged_with_previous:
        if (!item.match && item.end < text.size()) {
          const Item following = item_at(text, item.end);
          if (following.match) item.end = following.end;
        }
        break;
      case Behavior::merged_with_next:
        if (item.match && item.end < text.size()) {
          const Item following = item_at(text, item.end);
          if (!following.match) item.end = following.end;
        }
        break;
      case Behavior::contiguous:
        while (item.end < text.size()) {
          const Item following = item_at(text, item.end);
          if (following.match != item.match) break;
          item.end = following.end;
        }
        break;
    }
    return {at, item.end};
  }

 private:
  struct Item {
    size_t end;
    bool match;
  };

  Item item_at(std::string_view text, size_t at) const {
    if (at >= text.size()) return {at, false};
    const Span found = pattern_->find(text, at);
    if (found.empty()) return {text.size(), invert_};
    return found.begin > at ? Item{found.begin, invert_} : Item{found.end, !invert_};
  }

  std::unique_ptr<Pattern> pattern_;
  Behavior behavior_;
  bool invert_;
};

class SpacePrefix final : public Step {
 public:
  bool rewrite(std::string_view text, bool, std::string& out) const override {
    if (text.empty() || text.front() == ' ') return false;
    out.assign(1, ' ').append(text);
    return true;
  }
};

class WriteBytes final : public Step {
 public:
  bool rewrite(std::string_view text, bool, std::string& out) const override {
    out = alphabet_.write(text);
    return true;
  }

 private:
  ByteAlphabet alphabet_;
};

class ReadBytes final : public Step {
 public:
  bool rewrite(std::string_view text, bool, std::string& out) const override {
    out = alphabet_.read(text).value_or(std::string(text));
    return true;
  }

 private:
  ByteAlphabet alphabet_;
};

class Metaspace final : public Step {
 public:
  explicit Metaspace(MetaspaceRule rule) : rule_(std::move(rule)) {}

  bool rewrite(std::string_view text, bool at_start, std::string& out) const override {
    using Prepend = MetaspaceRule::Prepend;
    const bool has_one =
        !text.empty() && (text.front() == ' ' || text.starts_with(rule_.replacement));
    if (!has_one &&
        (rule_.prepend == Prepend::always || (rule_.prepend == Prepend::first && at_start))) {
      out = rule_.replacement;
    }
    for (const char byte : text) {
      if (byte == ' ') {
        out += rule_.replacement;
      } else {
        out += byte;
      }
    }
    return true;
  }

 private:
  MetaspaceRule rule_;
};

}  // namespace

std::unique_ptr<Step> make_split(std::unique_ptr<Pattern> pattern, Behavior behavior, bool invert) {
  return std::make_unique<Split>(std::move(pattern), behavior, invert);
}

std::unique_ptr<Step> make_space_prefix() { return std::make_unique<SpacePrefix>(); }

std::unique_ptr<Step> make_byte_alphabet_writer() { return std::make_unique<WriteBytes>(); }

std::unique_ptr<Step> make_byte_alphabet_reader() { return std::make_unique<ReadBytes>(); }

std::unique_ptr<Step> make_metaspace(MetaspaceRule rule) {
  return std::make_unique<Metaspace>(std::move(rule));
}

}  // namespace spate
