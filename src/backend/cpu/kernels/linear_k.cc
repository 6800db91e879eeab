// Matrix products with the K formats, 256 inputs in a block.
#include "backend/cpu/kernels/codes.h"
#include "backend/cpu/kernels/linear.h"
#include "backend/cpu/kernels/multiply.h"
#include "backend/cpu/kernels/multiply_codes.h"

namespace spate::cpu::SPATE_ISA {
namespace {

template <class Codes>
constexpr const Multiply* kProducts = Multiplies<CodeProduct<Codes>, kCodeShapes>::list;

}  // namespace

const FormatKernels kQ2KKernels{&kPanelsOf16, kProducts<Q2KCodes>};
const FormatKernels kQ3KKernels{&kPanelsOf16, kProducts<Q3KCodes>};
const FormatKernels kQ4KKernels{&kPanelsOf32, kProducts<Q4KCodes>};
const FormatKernels kQ5KKernels{&kPanelsOf32, kProducts<Q5KCodes>};
const FormatKernels kQ6KKernels{&kPanelsOf16, kProducts<Q6KCodes>};

}  // namespace spate::cpu::SPATE_ISA
