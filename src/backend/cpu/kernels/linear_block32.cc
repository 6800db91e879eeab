// Matrix products with the formats that have 32 inputs in a block.
#include "backend/cpu/kernels/codes.h"
#include "backend/cpu/kernels/linear.h"
#include "backend/cpu/kernels/multiply.h"
#include "backend/cpu/kernels/multiply_codes.h"

namespace spate::cpu::SPATE_ISA {
namespace {

template <class Codes>
constexpr const Multiply* kProducts = Multiplies<CodeProduct<Codes>, kCodeShapes>::list;

}  // namespace

const FormatKernels kQ4_0Kernels{&kPanelsOf32, kProducts<Q4_0Codes>};
const FormatKernels kQ4_1Kernels{&kPanelsOf32, kProducts<Q4_1Codes>};
const FormatKernels kQ5_0Kernels{&kPanelsOf32, kProducts<Q5_0Codes>};
const FormatKernels kQ5_1Kernels{&kPanelsOf32, kProducts<Q5_1Codes>};
const FormatKernels kQ8_0Kernels{&kPanelsOf32, kProducts<Q8_0Codes>};
const FormatKernels kIq4NlKernels{&kPanelsOf32, kProducts<Iq4NlCodes>};

}  // namespace spate::cpu::SPATE_ISA
