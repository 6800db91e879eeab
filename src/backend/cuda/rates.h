// How fast a GPU reads its memory.
#pragma once

namespace spate::cuda {

// Bytes a second that a kernel reads which sums 1 GiB: the best of a few passes on the current
// device, or 0 when anything fails. About a tenth of a second. Definition: devices.cu.
double measure_read();

}  // namespace spate::cuda
