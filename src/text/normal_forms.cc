#include "text/normal_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"

namespace spate {
namespace {

class Former {
 public:
  explicit Former(NormalForm form)
      : composes_(form == NormalForm::nfc || form == NormalForm::nfkc),
        compatible_(form == NormalForm::nfkc || form == NormalForm::nfkd) {
    const int options = UTF8PROC_STABLE | (composes_ ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                        (compatible_ ? UTF8PROC_COMPAT : 0);
    options_ = static_cast<utf8proc_option_t>(options);
  }

  // True for characters that stay as they are and leave what stands before them as it is. (What
  // follows them may still change them.)
  bool settled(char32_t code) const {
    if (code < 0xC0) {
      return code < 0x80 || !compatible_;
    }
    if (code < 0x300 && composes_ && !compatible_) {
      return true;
    }
    if (code >= 0x1160 && code <= 0x11FF) {
      return false;  // Hangul vowels and finals join the syllable before them
    }
    if (code >= 0xAC00 && code <= 0xD7A3) {
      return composes_;  // Hangul syllables are taken apart without a table
    }
    const utf8proc_property_t* property = utf8proc_get_property(static_cast<int32_t>(code));
    const bool mark =
        property->category >= UTF8PROC_CATEGORY_MN && property->category <= UTF8PROC_CATEGORY_ME;
    const bool decomposes =
        property->decomp_seqindex != UINT16_MAX && (property->decomp_type == 0 || compatible_);
    return !mark && !decomposes && property->combining_class == 0;
  }

  // Appends the normal form of `text`, which is valid UTF-8.
  void append(std::string_view text, std::string& out) {
    decompose(text);
    sort_marks();
    if (composes_) {
      codes_.push_back(0);  // utf8proc asks for room behind the end
      const utf8proc_ssize_t length = utf8proc_normalize_utf32(
          codes_.data(), static_cast<utf8proc_ssize_t>(codes_.size()) - 1, options_);
      check(length >= 0, "composition failed", length);
      codes_.resize(length);
    }
    for (const utf8proc_int32_t code : codes_) {
      append_utf8(out, static_cast<char32_t>(code));
    }
  }

 private:
  void decompose(std::string_view text) {
    codes_.clear();
    std::array<utf8proc_int32_t, 32> parts;  // the longest decomposition has 18
    while (!text.empty()) {
      const Character front = first_character(text);
      text.remove_prefix(front.length);
      int boundary = 0;
      const utf8proc_ssize_t count = utf8proc_decompose_char(
          static_cast<int32_t>(front.code), parts.data(), parts.size(), options_, &boundary);
      check(count >= 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()),
            "decomposition failed", count);
      codes_.insert(codes_.end(), parts.begin(), parts.begin() + count);
    }
  }

  // Canonical order: each run of combining marks by their class. utf8proc does this too, but in
  // quadratic time.
  void sort_marks() {
    const auto order = [](utf8proc_int32_t code) {
      return utf8proc_get_property(code)->combining_class;
    };
    for (auto begin = codes_.begin(); begin != codes_.end(); ++begin) {
      if (order(*begin) != 0) {
        const auto end =
            std::find_if(begin, codes_.end(), [&](auto code) { return order(code) == 0; });
        std::stable_sort(begin, end, [&](auto a, auto b) { return order(a) < order(b); });
        begin = end - 1;
      }
    }
  }

  bool composes_;
  bool compatible_;
  utf8proc_option_t options_;
  std::vector<utf8proc_int32_t> codes_;
};

}  // namespace

void to_normal_form(NormalForm form, std::string_view text, std::string& out) {
  out.clear();
  if (is_ascii(text)) {
    out = text;
    return;
  }
  Former former(form);
  size_t done = 0;      // bytes of `text` that `out` has
  size_t boundary = 0;  // the settled character before `at`, or `at` if there is none to join
  for (size_t at = 0; at < text.size();) {
    const auto character = [&](size_t place) { return first_character(text.substr(place)); };
    const auto whole = [](const Character& c) { return c.state == Character::State::whole; };
    const Character here = character(at);
    if (!whole(here)) {
      at += here.length;
      boundary = at;
      continue;
    }
    if (former.settled(here.code)) {
      boundary = at;
      at += here.length;
      continue;
    }
    while (at < text.size()) {
      const Character next = character(at);
      if (!whole(next) || former.settled(next.code)) {
        break;
      }
      at += next.length;
    }
    out += text.substr(done, boundary - done);
    former.append(text.substr(boundary, at - boundary), out);
    done = at;
    boundary = at;
  }
  out += text.substr(done);
}

}  // namespace spate
