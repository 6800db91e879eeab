// A plan (descriptors and an algorithm: the one that was measured to be fastest, else the one that
// the library's heuristic likes best) is made for a shape when it first comes and kept.
#include "backend/cuda/linear/cublas.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "backend/cuda/error.h"
#include "backend/cuda/libraries.h"
#include "backend/cuda/linear/cublas_functions.h"
#include "backend/cuda/linear/cublas_ways.h"
#include "backend/cuda/linear/trial.h"
#include "backend/kept_choices.h"
#include "base/check.h"

namespace spate::cuda {
namespace {

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
  bool add, fast_sums;
  uint32_t weight_alignment, x_alignment, out_alignment;

  auto tie() const {
    return std::tie(outputs, rows, inputs, weight_stride, x_stride, out_stride, type, out_type, add,
                    fast_sums, weight_alignment, x_alignment, out_alignment);
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
          .fast_sums = p.fast_sums,
          .weight_alignment = alignment_of(p.weight, p.weight_stride, p.x.dtype),
          .x_alignment = alignment_of(p.x.data, p.x.row_stride, p.x.dtype),
          .out_alignment = alignment_of(p.out.data, p.out.row_stride, p.out.dtype)};
}

// ---- Which algorithm.

constexpr size_t kMostCandidates = 8;
constexpr int64_t kLeastMeasuredRows = 128;

// Products of about so many rows have the same algorithm.
int64_t rounded_rows(int64_t rows) {
  const int64_t part = rows <= 1024 ? 128 : rows <= 4096 ? 512 : 2048;
  return (rows + part - 1) / part * part;
}

std::string choice_key(const Key& key) {
  return cat(name_of(key.type), " ", key.outputs, " x ", key.inputs, " to ", name_of(key.out_type),
             key.fast_sums ? " in fast sums" : "", ", rows to ", rounded_rows(key.rows));
}

// Products that share a choice.
struct Alike {
  bool measured = false;
};

struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  // The library counts columns first: to it weight is [inputs, outputs], x [inputs, T] and out
  // [outputs, T].
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, out = nullptr;
  std::optional<Way> way;
  Alike* alike = nullptr;
  // While the product is measured.
  std::vector<Way> ways;
  std::unique_ptr<Trial> trial;
};

cudaDataType_t type_of(DType type) {
  return type == DType::f32 ? CUDA_R_32F : type == DType::u8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
}

}  // namespace

struct Cublas::State {
  CublasFunctions f{};
  cublasLtHandle_t handle = nullptr;
  std::map<Key, Plan> plans;
  std::optional<KeptChoices> choices;  // where products are measured
  std::map<std::string, Alike> alike;  // by choice_key()

  void ensure(cublasStatus_t status) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw Error(cat("cublasLt: ", f.status_string(status)), ExitCode::memory);
  }
  Plan& plan_of(const DenseProduct& product);
  void set_scales(const Plan& plan, const DenseProduct& product) const;
  void choose(const Key& key, Plan& plan);
  std::vector<Way> best_ways(const Key& key, const Plan& plan, size_t count,
                             size_t workspace_bytes) const;
  std::vector<Way> candidates(const Key& key, const Plan& plan) const;
  std::optional<Way> checked(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm) const;
  cublasStatus_t multiply(const DenseProduct& product, const Plan& plan, const Way& way,
                          void* workspace, cudaStream_t stream) const;
  bool is_measured(const DenseProduct& product, Plan& plan, cudaStream_t stream) const;
  bool try_next(const DenseProduct& product, Plan& plan, void* workspace, cudaStream_t stream);
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

Plan& Cublas::State::plan_of(const DenseProduct& product) {
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
  if (key.fast_sums) {
    const int8_t fast = 1;
    ensure(f.operation_set(plan.operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof fast));
  }
  choose(key, plan);
  return plan;
}

void Cublas::State::choose(const Key& key, Plan& plan) {
  plan.alike = &alike[choice_key(key)];
  const std::string* const kept = choices ? choices->find(choice_key(key)) : nullptr;
  if (kept != nullptr) {
    const std::optional<cublasLtMatmulAlgo_t> algorithm = algorithm_of(*kept);
    plan.alike->measured = algorithm.has_value();
    plan.way = algorithm ? checked(plan, *algorithm) : std::nullopt;
    if (plan.way) return;
  }
  const std::vector<Way> best = best_ways(key, plan, 1, kWorkspaceBytes);
  plan.way = best.empty() ? std::nullopt : std::optional(best.front());
}

// Those that the heuristic likes best.
std::vector<Way> Cublas::State::best_ways(const Key& key, const Plan& plan, size_t count,
                                          size_t workspace_bytes) const {
  cublasLtMatmulPreference_t preference = nullptr;
  ensure(f.preference_create(&preference));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    ensure(f.preference_set(preference, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace_bytes});
  // Where the inputs are split, the parts' sums must not be rounded to the type of out.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.weight_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.x_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.out_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);
  std::vector<cublasLtMatmulHeuristicResult_t> results(count);
  int found = 0;
  const cublasStatus_t status =
      f.heuristic(handle, plan.operation, plan.weight, plan.x, plan.out, plan.out, preference,
                  static_cast<int>(count), results.data(), &found);
  f.preference_destroy(preference);
  std::vector<Way> ways;
  if (status != CUBLAS_STATUS_SUCCESS) return ways;
  results.resize(static_cast<size_t>(found));
  for (const cublasLtMatmulHeuristicResult_t& result : results) {
    if (result.state == CUBLAS_STATUS_SUCCESS) ways.push_back(way_of(result));
  }
  return ways;
}

// By turns the best that may split the inputs and the best that may not.
std::vector<Way> Cublas::State::candidates(const Key& key, const Plan& plan) const {
  const std::vector<Way> split = best_ways(key, plan, kMostCandidates, kWorkspaceBytes);
  const std::vector<Way> whole = best_ways(key, plan, kMostCandidates, 0);
  std::vector<Way> ways;
  const auto add = [&](const std::vector<Way>& from, size_t i) {
    if (i >= from.size() || ways.size() == kMostCandidates) return;
    const auto is_known = [&](const Way& way) { return are_same(way, from[i]); };
    if (std::ranges::none_of(ways, is_known)) ways.push_back(from[i]);
  };
  for (size_t i = 0; i < kMostCandidates; ++i) {
    add(split, i);
    add(whole, i);
  }
  return ways;
}

std::optional<Way> Cublas::State::checked(const Plan& plan,
                                          const cublasLtMatmulAlgo_t& algorithm) const {
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status = f.check_algorithm(handle, plan.operation, plan.weight, plan.x,
                                                  plan.out, plan.out, &algorithm, &result);
  if (status != CUBLAS_STATUS_SUCCESS || result.state != CUBLAS_STATUS_SUCCESS ||
      result.workspaceSize > kWorkspaceBytes) {
    return {};
  }
  result.algo = algorithm;
  return way_of(result);
}

cublasStatus_t Cublas::State::multiply(const DenseProduct& product, const Plan& plan,
                                       const Way& way, void* workspace, cudaStream_t stream) const {
  const float one = 1, factor_of_out = product.add ? 1 : 0;
  return f.matmul(handle, plan.operation, &one, product.weight, plan.weight, product.x.data, plan.x,
                  &factor_of_out, product.out.data, plan.out, product.out.data, plan.out,
                  &way.algorithm, workspace, way.workspace_bytes, stream);
}

// Whether the product takes part in a trial now. Not while it is recorded: nothing runs.
bool Cublas::State::is_measured(const DenseProduct& product, Plan& plan,
                                cudaStream_t stream) const {
  if (!choices || product.x.rows() < kLeastMeasuredRows || plan.alike->measured) {
    plan.trial.reset();
    return false;
  }
  if (is_recording(stream)) return false;
  if (plan.trial == nullptr) {
    plan.ways = candidates(key_of(product), plan);
    plan.alike->measured = plan.ways.size() < 2;
    if (!plan.alike->measured) plan.trial = std::make_unique<Trial>(plan.ways.size());
  }
  return plan.trial != nullptr;
}

// Multiplies as the trial wants it; false where that cannot be.
bool Cublas::State::try_next(const DenseProduct& product, Plan& plan, void* workspace,
                             cudaStream_t stream) {
  Trial& trial = *plan.trial;
  const Way& way = plan.ways[trial.way()];
  trial.begin(stream);
  const bool ran = multiply(product, plan, way, workspace, stream) == CUBLAS_STATUS_SUCCESS;
  trial.end(stream, ran);
  if (!trial.is_over()) return ran;
  choices->put(choice_key(key_of(product)), text_of(plan.ways[trial.fastest()].algorithm));
  plan.trial.reset();
  plan.alike->measured = true;
  // What is recorded keeps what it has.
  for (auto& [key, other] : plans) {
    if (other.alike == plan.alike) choose(key, other);
  }
  return ran;
}

std::unique_ptr<Cublas> Cublas::open(std::string device) {
  auto state = std::make_unique<State>();
  void* library = open_cublaslt();
  if (library == nullptr || !find_all(library, state->f)) return nullptr;
  state->ensure(state->f.create(&state->handle));
  if (!device.empty()) {
    int driver = 0;
    cuda_check(cudaDriverGetVersion(&driver));
    const std::string holds_for =
        cat(device, ", cuBLASLt ", state->f.version(), ", driver ", driver);
    std::ranges::replace_if(
        device, [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
    state->choices.emplace(cache_file(cat("products-", device, ".json")), holds_for);
  }
  return std::unique_ptr<Cublas>(new Cublas(std::move(state)));
}

Cublas::Cublas(std::unique_ptr<State> state) : state_(std::move(state)) {}

Cublas::~Cublas() {
  const CublasFunctions& f = state_->f;
  for (auto& [key, plan] : state_->plans) {
    f.operation_destroy(plan.operation);
    for (cublasLtMatrixLayout_t layout : {plan.weight, plan.x, plan.out}) f.layout_destroy(layout);
  }
  f.destroy(state_->handle);
}

bool Cublas::accepts(const DenseProduct& product) {
  return state_->plan_of(product).way.has_value();
}

void Cublas::run(const DenseProduct& product, void* workspace, cudaStream_t stream) {
  Plan& plan = state_->plan_of(product);
  state_->set_scales(plan, product);
  check(plan.way.has_value(), "cublasLt has no kernel for a product that was given to it");
  if (state_->is_measured(product, plan, stream) &&
      state_->try_next(product, plan, workspace, stream)) {
    return;
  }
  cublasStatus_t status = state_->multiply(product, plan, *plan.way, workspace, stream);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED && plan.way->workspace_bytes == 0) {
    plan.way->workspace_bytes = kWorkspaceBytes;  // this version wants its counter
    status = state_->multiply(product, plan, *plan.way, workspace, stream);
  }
  state_->ensure(status);
}

}  // namespace spate::cuda
