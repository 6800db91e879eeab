// A plan (descriptors and the algorithm that the library's heuristic likes best) is made for a
// shape when it first comes and kept.
#include "backend/cuda/linear/cublas.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "backend/cuda/libraries.h"
#include "base/check.h"

namespace spate::cuda {
namespace {

// What is used of the library.
struct Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulDescCreate) operation_create;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
};

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, Functions& f) {
  return find(library, "cublasLtCreate", f.create) && find(library, "cublasLtDestroy", f.destroy) &&
         find(library, "cublasLtGetStatusString", f.status_string) &&
         find(library, "cublasLtMatmul", f.matmul) &&
         find(library, "cublasLtMatmulAlgoGetHeuristic", f.heuristic) &&
         find(library, "cublasLtMatmulDescCreate", f.operation_create) &&
         find(library, "cublasLtMatmulDescDestroy", f.operation_destroy) &&
         find(library, "cublasLtMatmulDescSetAttribute", f.operation_set) &&
         find(library, "cublasLtMatrixLayoutCreate", f.layout_create) &&
         find(library, "cublasLtMatrixLayoutDestroy", f.layout_destroy) &&
         find(library, "cublasLtMatmulPreferenceCreate", f.preference_create) &&
         find(library, "cublasLtMatmulPreferenceDestroy", f.preference_destroy) &&
         find(library, "cublasLtMatmulPreferenceSetAttribute", f.preference_set);
}

// The largest power of two, up to 256, that every row of a tensor starts at a multiple of, in
// bytes.
uint32_t alignment_of(const void* data, int64_t stride, DType type) {
  const auto bits = reinterpret_cast<uintptr_t>(data) |
                    static_cast<uintptr_t>(stride) * static_cast<uintptr_t>(size_of(type)) | 256U;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// All that the choice of an algorithm depends on.
struct Key {
  int64_t outputs, rows, inputs, weight_stride, x_stride, out_stride;
  DType type, out_type;
  bool add;
  uint32_t weight_alignment, x_alignment, out_alignment;

  auto tie() const {
    return std::tie(outputs, rows, inputs, weight_stride, x_stride, out_stride, type, out_type, add,
                    weight_alignment, x_alignment, out_alignment);
  }
  bool operator<(const Key& other) const { return tie() < other.tie(); }
};

Key key_of(const DenseProduct& p) {
  return {.outputs = p.outputs,
          .rows = p.x.rows(),
          .inputs = p.inputs,
          .weight_stride = p.weight_stride,
          .x_stride = p.x.row_stride,
          .out_stride = p.out.row_stride,
          .type = p.x.dtype,
          .out_type = p.out.dtype,
          .add = p.add,
          .weight_alignment = alignment_of(p.weight, p.weight_stride, p.x.dtype),
          .x_alignment = alignment_of(p.x.data, p.x.row_stride, p.x.dtype),
          .out_alignment = alignment_of(p.out.data, p.out.row_stride, p.out.dtype)};
}

struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  // The library counts columns first: to it weight is [inputs, outputs], x [inputs, T] and out
  // [outputs, T].
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool found = false;
};

cudaDataType_t type_of(DType type) {
  return type == DType::f32 ? CUDA_R_32F : type == DType::u8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
}

}  // namespace

struct Cublas::State {
  Functions f{};
  cublasLtHandle_t handle = nullptr;
  std::map<Key, Plan> plans;

  void ensure(cublasStatus_t status) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw Error(cat("cublasLt: ", f.status_string(status)), ExitCode::memory);
  }
  const Plan& plan_of(const DenseProduct& product);
  void set_scales(const Plan& plan, const DenseProduct& product) const;
  void choose(const Key& key, Plan& plan) const;
};

void Cublas::State::set_scales(const Plan& plan, const DenseProduct& product) const {
  if (product.weight_scales == nullptr) return;
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
    ensure(f.operation_set(plan.operation, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
  set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
  set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, product.weight_scales);
  set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, product.x_scales);
}

const Plan& Cublas::State::plan_of(const DenseProduct& product) {
  const Key key = key_of(product);
  const auto [found, added] = plans.try_emplace(key);
  Plan& plan = found->second;
  if (!added) return plan;
  ensure(f.operation_create(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t transposed = CUBLAS_OP_T;
  ensure(
      f.operation_set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed));
  const auto layout = [&](cublasLtMatrixLayout_t& to, DType type, int64_t height, int64_t width,
                          int64_t stride) {
    ensure(f.layout_create(&to, type_of(type), static_cast<uint64_t>(height),
                           static_cast<uint64_t>(width), stride));
  };
  layout(plan.weight, key.type, key.inputs, key.outputs, key.weight_stride);
  layout(plan.x, key.type, key.inputs, key.rows, key.x_stride);
  layout(plan.out, key.out_type, key.outputs, key.rows, key.out_stride);
  set_scales(plan, product);
  choose(key, plan);
  return plan;
}

void Cublas::State::choose(const Key& key, Plan& plan) const {
  cublasLtMatmulPreference_t preference = nullptr;
  ensure(f.preference_create(&preference));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    ensure(f.preference_set(preference, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  // Where the inputs are split, the parts' sums must not be rounded to the type of out.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.weight_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.x_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.out_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);
  cublasLtMatmulHeuristicResult_t result{};
  int count = 0;
  const cublasStatus_t status = f.heuristic(handle, plan.operation, plan.weight, plan.x, plan.out,
                                            plan.out, preference, 1, &result, &count);
  f.preference_destroy(preference);
  plan.found =
      status == CUBLAS_STATUS_SUCCESS && count == 1 && result.state == CUBLAS_STATUS_SUCCESS;
  plan.algorithm = result.algo;
}

std::unique_ptr<Cublas> Cublas::open() {
  auto state = std::make_unique<State>();
  void* library = open_cublaslt();
  if (library == nullptr || !find_all(library, state->f)) return nullptr;
  state->ensure(state->f.create(&state->handle));
  return std::unique_ptr<Cublas>(new Cublas(std::move(state)));
}

Cublas::Cublas(std::unique_ptr<State> state) : state_(std::move(state)) {}

Cublas::~Cublas() {
  const Functions& f = state_->f;
  for (auto& [key, plan] : state_->plans) {
    f.operation_destroy(plan.operation);
    for (cublasLtMatrixLayout_t layout : {plan.weight, plan.x, plan.out}) f.layout_destroy(layout);
  }
  f.destroy(state_->handle);
}

bool Cublas::accepts(const DenseProduct& product) { return state_->plan_of(product).found; }

void Cublas::run(const DenseProduct& product, void* workspace, cudaStream_t stream) {
  const Plan& plan = state_->plan_of(product);
  state_->set_scales(plan, product);
  check(plan.found, "cublasLt has no kernel for a product that was given to it");
  const float one = 1, factor_of_out = product.add ? 1 : 0;
  state_->ensure(state_->f.matmul(state_->handle, plan.operation, &one, product.weight, plan.weight,
                                  product.x.data, plan.x, &factor_of_out, product.out.data,
                                  plan.out, product.out.data, plan.out, &plan.algorithm, workspace,
                                  kWorkspaceBytes, stream));
}

}  // namespace spate::cuda
