// Unicode's normal forms (UAX #15), by the tables of utf8proc. Most text is in normal form already:
// only the stretches that may not be are taken apart, so ASCII and CJK pass at copying speed.
#pragma once

#include <string>
#include <string_view>

namespace spate {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// Sets `out` to `text` in normal form. Bytes that are not UTF-8 stay, and nothing composes across
// them. Linear, but for sorting runs of combining marks.
void to_normal_form(NormalForm form, std::string_view text, std::string& out);

}  // namespace spate
