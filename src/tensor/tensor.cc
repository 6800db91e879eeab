#include "tensor/tensor.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace spate {

Shape::Shape(std::initializer_list<int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  check(dims.size() <= dims_.size(), "a shape has at most 4 dimensions, got ", dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= dims_[axis];
  return product;
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << "[";
  for (int axis = 0; axis < shape.rank(); ++axis) out << (axis == 0 ? "" : ", ") << shape[axis];
  return out << "]";
}

std::string Shape::text() const { return cat(*this); }

int64_t Tensor::row_size() const {
  int64_t product = 1;
  for (int axis = 1; axis < shape.rank(); ++axis) product *= shape[axis];
  return product;
}

namespace {

std::byte* advance(void* data, int64_t elements, DType dtype) {
  return static_cast<std::byte*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

Shape with_rows(const Shape& shape, int64_t rows) {
  switch (shape.rank()) {
    case 1: return {rows};
    case 2: return {rows, shape[1]};
    case 3: return {rows, shape[1], shape[2]};
    default: return {rows, shape[1], shape[2], shape[3]};
  }
}

}  // namespace

Tensor Tensor::slice(int64_t begin, int64_t count) const {
  check(begin >= 0 && count >= 0 && begin + count <= rows(), "rows out of range: ", begin, " + ",
        count, " of ", rows());
  Tensor out = *this;
  out.data = advance(data, begin * row_stride, dtype);
  out.shape = with_rows(shape, count);
  return out;
}

Tensor Tensor::columns(int64_t begin, std::initializer_list<int64_t> row) const {
  Tensor out = *this;
  out.data = advance(data, begin, dtype);
  std::array<int64_t, 3> dims{1, 1, 1};
  check(row.size() >= 1 && row.size() <= 3, "a row view has 1 to 3 dimensions");
  std::copy(row.begin(), row.end(), dims.begin());
  check(begin >= 0 && begin + dims[0] * dims[1] * dims[2] <= row_size(), "columns out of range of ",
        shape);
  out.shape = row.size() == 1   ? Shape{rows(), dims[0]}
              : row.size() == 2 ? Shape{rows(), dims[0], dims[1]}
                                : Shape{rows(), dims[0], dims[1], dims[2]};
  return out;
}

Tensor Tensor::reshape(Shape to) const {
  check(contiguous() && to.elements() == shape.elements(), "cannot reshape ", shape, " to ", to);
  Tensor out = *this;
  out.shape = to;
  out.row_stride = out.row_size();
  return out;
}

Tensor view_of(void* data, DType dtype, Shape shape, Device device) {
  Tensor out{.data = data, .dtype = dtype, .device = device, .shape = shape};
  out.row_stride = out.row_size();
  return out;
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      device_(other.device_),
      release_(other.release_) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(device_, other.device_);
  std::swap(release_, other.release_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr && release_ != nullptr) release_(data_, bytes_);
}

Tensor Buffer::view(Shape shape, DType dtype, size_t offset) const {
  const size_t need = static_cast<size_t>(shape.elements()) * size_of(dtype);
  check(offset + need <= bytes_, "a view of ", need, " bytes at ", offset, " in a buffer of ",
        bytes_);
  return view_of(static_cast<std::byte*>(data_) + offset, dtype, shape, device_);
}

size_t Arena::piece_bytes(Shape shape, DType dtype) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  return (bytes + 63) / 64 * 64;
}

Tensor Arena::take(Shape shape, DType dtype) {
  const size_t bytes = piece_bytes(shape, dtype);
  check(used_ + bytes <= buffer_.bytes(), "scratch memory is too small: ", shape, " needs ", bytes,
        " bytes, ", buffer_.bytes() - used_, " left");
  Tensor out = buffer_.view(shape, dtype, used_);
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return out;
}

}  // namespace spate
