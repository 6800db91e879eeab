// What data looks like: a Tensor is a view (copying it copies no bytes), a Buffer owns bytes on one
// device, an Arena hands out pieces of a buffer and takes them back in reverse order. No
// arithmetic.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>

#include "tensor/dtype.h"

namespace spate {

// Up to four dimensions, outermost first.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  int64_t elements() const;  // 1 for rank 0
  std::string text() const;  // "[8, 64]"; checks print the shape itself, only when they fail
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, 4> dims_{};
  int rank_ = 0;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape);

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  Device device;
  Shape shape;             // row-major; "a row" is everything below the first axis
  int64_t row_stride = 0;  // elements from one row to the next; at least the size of a row

  int64_t rows() const { return shape.rank() == 0 ? 1 : shape[0]; }
  int64_t row_size() const;  // elements in a row
  int64_t bytes() const { return shape.elements() * static_cast<int64_t>(size_of(dtype)); }
  bool contiguous() const { return row_stride == row_size() || rows() <= 1; }
  bool empty() const { return data == nullptr || shape.elements() == 0; }

  Tensor slice(int64_t begin, int64_t count) const;  // rows [begin, begin + count)
  // Elements [begin, begin + the size of `row`) of every row, seen as shape [rows, row...].
  Tensor columns(int64_t begin, std::initializer_list<int64_t> row) const;
  Tensor reshape(Shape shape) const;  // contiguous tensors only

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  template <class T>
  T* row(int64_t index) const {
    return static_cast<T*>(data) + index * row_stride;
  }
};

// A contiguous tensor over memory that somebody else owns.
Tensor view_of(void* data, DType dtype, Shape shape, Device device = {});

class Buffer {
 public:
  using Release = void (*)(void* data, size_t bytes);

  Buffer() = default;
  Buffer(void* data, size_t bytes, Device device, Release release)
      : data_(data), bytes_(bytes), device_(device), release_(release) {}
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  // A contiguous view of `shape` that starts `offset` bytes in; checked against the size.
  Tensor view(Shape shape, DType dtype, size_t offset = 0) const;

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Device device_;
  Release release_ = nullptr;
};

// Scratch memory of one step. Every piece starts at a multiple of 64 bytes.
class Arena {
 public:
  explicit Arena(Buffer buffer) : buffer_(std::move(buffer)) {}

  Tensor take(Shape shape, DType dtype);  // fails when the arena was planned too small
  size_t peak() const { return peak_; }   // most bytes ever in use

  // Gives back, when it ends, all that was taken after it began.
  class Frame {
   public:
    explicit Frame(Arena& arena) : arena_(arena), used_(arena.used_) {}
    ~Frame() { arena_.used_ = used_; }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

   private:
    Arena& arena_;
    size_t used_;
  };
  Frame frame() { return Frame(*this); }

  // Bytes that take() uses for one piece; for memory plans.
  static size_t piece_bytes(Shape shape, DType dtype);

 private:
  Buffer buffer_;
  size_t used_ = 0;
  size_t peak_ = 0;
};

}  // namespace spate
