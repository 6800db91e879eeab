// iq4_nl: four-bit codes that index a fixed table of uneven steps (finer near zero, where weights
// are dense). 32 elements in 18 bytes: an f16 scale, then 16 bytes of codes as in q4_0: byte i
// holds element i in its low and element i + 16 in its high four bits.
#include "quant/bits.h"
#include "quant/format.h"

namespace spate {
namespace {

constexpr int kBlock = 32;
constexpr float kSteps[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                              1,    13,   25,  38,  53,  69,  89,  113};

void decode_iq4_nl(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 18) {
    const float scale = half_at(block, 0);
    for (int i = 0; i < kBlock; ++i) {
      const int code = bits_of(byte_at(block, 2 + i % 16), 4 * (i / 16), 4);
      out[begin + i] = scale * kSteps[code];
    }
  }
}

}  // namespace

const Format kIq4Nl{"iq4_nl", 20, kBlock, 18, decode_iq4_nl};

}  // namespace spate
