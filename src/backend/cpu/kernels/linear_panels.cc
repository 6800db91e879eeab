// Making of panels of rounded rows. A part is rounded to whole numbers of -127 to 127 times the
// part's step, its largest magnitude over 127; halves go to the even neighbour. A part of numbers
// so small that 127 over them is infinite becomes zeros. One with an infinity or a NaN gets a NaN
// as step.
#include "backend/cpu/kernels/multiply_codes.h"

namespace spate::cpu::SPATE_ISA {
namespace {

constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: adding it rounds, and puts the number into
                                       // the lowest bits
constexpr float kSmallest = 1e-36F;

struct Rounded {
  float step;
  int32_t sum;  // of the codes
};

template <int kPart>
Rounded round_part(const float* x, int8_t* codes) {
  Vec largest = broadcast(0), bad = broadcast(0);
  for (int i = 0; i < kPart; i += kLanes) {
    const Vec value = load(x + i);
    largest = max(largest, max(value, broadcast(0) - value));
    bad = fma(value, broadcast(0), bad);  // a NaN, once there is no number
  }
  const float magnitude = max_lane(largest);
  const float step = magnitude / 127 + spate::cpu::SPATE_ISA::sum(bad);
  const Vec inverse = broadcast(magnitude > kSmallest ? 127 / magnitude : 0.0F);
  Vec total = broadcast(0);
  for (int i = 0; i < kPart; i += kLanes) {
    const Vec rounded = load(x + i) * inverse + broadcast(kMagic);
    store_low_bytes(codes + i, bits_of(rounded));
    total = total + (rounded - broadcast(kMagic));
  }
  const bool number = step == step;
  return {.step = step,
          .sum = number ? static_cast<int32_t>(spate::cpu::SPATE_ISA::sum(total)) : 0};
}

template <int kPart>
constexpr int kPartBytes = sizeof(RoundedPart<kPart, 1>);  // of a row

// A panel is a run of RoundedPart<kPart, size>.
template <int kPart, int kMiddle>
void pack(const float* x, int64_t stride, int rows, int64_t inputs, int size, void* panel) {
  constexpr int kGroups = kPart / 4;
  auto* bytes = static_cast<uint8_t*>(panel);
  for (int64_t begin = 0; begin < inputs; begin += kPart, bytes += kPartBytes<kPart> * size) {
    auto* steps = reinterpret_cast<float*>(bytes + kPart * size);
    auto* sums = steps + size;
    auto* starts = reinterpret_cast<int32_t*>(sums);
    for (int r = 0; r < size; ++r) {
      int8_t codes[kPart];
      Rounded part{0, 0};
      if (r < rows) {
        part = round_part<kPart>(x + r * stride + begin, codes);
      } else {
        __builtin_memset(codes, 0, sizeof codes);
      }
      for (int g = 0; g < kGroups; ++g) {
        __builtin_memcpy(bytes + 4 * (g * size + r), codes + 4 * g, 4);
      }
      steps[r] = part.step;
      if (kMiddle == 0) {
        sums[r] = part.step * static_cast<float>(part.sum);
      } else {
        starts[r] = -kMiddle * part.sum;
      }
    }
  }
}

}  // namespace

template <int kPart, int kMiddle>
const PanelKind RoundedPanels<kPart, kMiddle>::kind{
    .shapes = kCodeShapes,
    .sizes = sizeof kCodeShapes / sizeof kCodeShapes[0],
    .part = kPart,
    .part_bytes = kPartBytes<kPart>,
    .bare_row = false,
    .inputs_at_once = 4,
    .pack = pack<kPart, kMiddle>};

template struct RoundedPanels<32, 0>;
template struct RoundedPanels<32, 8>;
template struct RoundedPanels<32, 12>;
template struct RoundedPanels<32, 16>;
template struct RoundedPanels<32, 128>;
template struct RoundedPanels<16, 0>;
template struct RoundedPanels<16, 4>;
template struct RoundedPanels<16, 32>;

}  // namespace spate::cpu::SPATE_ISA
