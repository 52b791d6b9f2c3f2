#include "cublas.h"

#include "products.h"
#include "shared_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <stdexcept>

namespace aft::bench {

namespace {

// As cublas_v2.h declares them; the toolkit isn't needed to build.
using Status = int;
using Handle = void *;
enum Operation { as_it_is = 0, transposed = 1 };
constexpr int default_math = 0;  // TF32 only by choice

std::vector<std::string> library_names() {
    const char *const path = std::getenv("AFT_CUBLAS");
    if (path && *path) {
        return {path};
    }
    return {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "libcublas.so"};
}

struct Library {
    Status (*create)(Handle *);
    Status (*destroy)(Handle);
    Status (*version)(Handle, int *);
    Status (*set_stream)(Handle, void *);
    Status (*set_math_mode)(Handle, int);
    Status (*multiply)(Handle, Operation, Operation, int m, int n, int k, const float *alpha, const float *a, int lda,
                       const float *b, int ldb, const float *beta, float *c, int ldc);
    Status (*multiply_batch)(Handle, Operation, Operation, int m, int n, int k, const float *alpha, const float *a,
                             int lda, long long stride_a, const float *b, int ldb, long long stride_b,
                             const float *beta, float *c, int ldc, long long stride_c, int count);

    Library() {
        // cuBLAS needs its other half, which lies beside it, in a wheel where the loader doesn't look.
        for (const std::string &name : library_names()) {
            const std::filesystem::path path = name;
            if (path.has_parent_path()) {
                std::string other_half = path.filename().string();
                const std::size_t at = other_half.find("cublas");
                if (at != std::string::npos) {
                    other_half.replace(at, 6, "cublasLt");
                    dlopen((path.parent_path() / other_half).c_str(), RTLD_NOW | RTLD_GLOBAL);
                }
            }
        }
        const SharedLibrary library(library_names());
        library.find(create, "cublasCreate_v2");
        library.find(destroy, "cublasDestroy_v2");
        library.find(version, "cublasGetVersion_v2");
        library.find(set_stream, "cublasSetStream_v2");
        library.find(set_math_mode, "cublasSetMathMode");
        library.find(multiply, "cublasSgemm_v2");
        library.find(multiply_batch, "cublasSgemmStridedBatched");
    }
};

void check(Status status, const char *what) {
    if (status != 0) {
        throw std::runtime_error(fmt::format("{}: status {}", what, status));
    }
}

std::vector<float> stacked(const Weights &weights) {
    std::vector<float> all = weights.query_weight;
    all.insert(all.end(), weights.key_weight.begin(), weights.key_weight.end());
    all.insert(all.end(), weights.value_weight.begin(), weights.value_weight.end());
    return all;
}

// exp(w) [exp(K) V | exp(K)] is a product of whole matrices.
bool is_dense(const LayerForm &form) {
    return form.has_bias() && !form.has_window();
}

// Read where no product is made of a position bias.
std::vector<float> one_zero() {
    return {0.0f};
}

}  // namespace

struct CublasProducts::Implementation {
    Library library;
    Problem problem;
    int rows, batch, seq, hidden, projected;
    bool has_core;
    // The operands that the products are checked with.
    std::vector<float> x, weight, position_bias, project_weight;
    // Row by row: x [rows, hidden], qkv [rows, 3 projected], core [rows, 2 projected], y [rows, hidden].
    CudaDevice::Floats device_x, device_weight, device_bias, device_project_weight, device_qkv, device_core, device_y;
    Handle handle = nullptr;

    Implementation(CudaDevice &device, const Problem &problem, const Weights &weights, const std::vector<float> &input)
        : problem(problem), rows(static_cast<int>(problem.shape.batch * problem.shape.seq)),
          batch(static_cast<int>(problem.shape.batch)), seq(static_cast<int>(problem.shape.seq)),
          hidden(static_cast<int>(problem.config.hidden)), projected(static_cast<int>(problem.config.projected)),
          has_core(is_dense(problem.config.form)), x(input), weight(stacked(weights)),
          position_bias(has_core ? weights.position_bias : one_zero()), project_weight(weights.project_weight),
          device_x(device, x), device_weight(device, weight), device_bias(device, position_bias),
          device_project_weight(device, project_weight), device_qkv(device, std::size_t{3} * rows * projected),
          device_core(device, std::size_t{2} * rows * projected), device_y(device, std::size_t(rows) * hidden) {
        check(library.create(&handle), "cublasCreate");
        check(library.set_stream(handle, nullptr), "cublasSetStream");
        check(library.set_math_mode(handle, default_math), "cublasSetMathMode");
    }

    ~Implementation() {
        if (handle) {
            library.destroy(handle);
        }
    }

    // The operand of the output projection: [rows, projected] in rows of 2 projected, or of 3 where there is no core.
    const CudaDevice::Floats &gated() const {
        return has_core ? device_core : device_qkv;
    }
    int gated_stride() const {
        return has_core ? 2 * projected : 3 * projected;
    }
};

CublasProducts::CublasProducts(CudaDevice &device, const Problem &problem, const Weights &weights,
                               const std::vector<float> &x)
    : implementation_(std::make_unique<Implementation>(device, problem, weights, x)) {}

CublasProducts::~CublasProducts() = default;

// cuBLAS counts columns first: a matrix of ours is its own transpose there, so that C = A B is C^T = B^T A^T.
void CublasProducts::multiply() {
    const Implementation &self = *implementation_;
    const Library &library = self.library;
    const int H = self.hidden, P = self.projected, T = self.seq;
    const float one = 1, zero = 0;
    check(library.multiply(self.handle, transposed, as_it_is, 3 * P, self.rows, H, &one, self.device_weight.data(), H,
                           self.device_x.data(), H, &zero, self.device_qkv.data(), 3 * P),
          "cublasSgemm");
    if (self.has_core) {
        check(library.multiply_batch(self.handle, as_it_is, as_it_is, 2 * P, T, T, &one, self.device_qkv.data() + P,
                                     3 * P, 3LL * T * P, self.device_bias.data(),
                                     static_cast<int>(self.problem.config.max_seq_len), 0, &zero,
                                     self.device_core.data(), 2 * P, 2LL * T * P, self.batch),
              "cublasSgemmStridedBatched");
    }
    check(library.multiply(self.handle, transposed, as_it_is, H, self.rows, P, &one, self.device_project_weight.data(),
                           P, self.gated().data(), self.gated_stride(), &zero, self.device_y.data(), H),
          "cublasSgemm");
}

double CublasProducts::max_error() {
    Implementation &self = *implementation_;
    const std::int64_t H = self.hidden, P = self.projected, T = self.seq, rows = self.rows;
    const std::int64_t S = self.problem.config.max_seq_len, gated_stride = self.gated_stride();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> qkv(self.device_qkv.size(), nan), core(self.device_core.size(), nan),
        y(self.device_y.size(), nan);
    self.device_y.upload(y);
    multiply();
    self.device_qkv.download(qkv);
    self.device_core.download(core);
    self.device_y.download(y);
    const std::vector<float> &gated = self.has_core ? core : qkv;

    double worst = product_error(
        rows, 3 * P, H, qkv.data(), [&](auto row, auto step) { return self.x[row * H + step]; },
        [&](auto, auto step, auto column) { return self.weight[column * H + step]; });
    if (self.has_core) {
        worst = std::max(worst, product_error(
                                    rows, 2 * P, T, core.data(),
                                    [&](auto row, auto step) { return self.position_bias[row % T * S + step]; },
                                    [&](auto row, auto step, auto column) {
                                        return qkv[(row / T * T + step) * 3 * P + P + column];
                                    }));
    }
    return std::max(worst,
                    product_error(
                        rows, H, P, y.data(), [&](auto row, auto step) { return gated[row * gated_stride + step]; },
                        [&](auto, auto step, auto column) { return self.project_weight[column * P + step]; }));
}

double CublasProducts::flops(const Problem &problem) {
    const double T = static_cast<double>(problem.shape.seq), rows = static_cast<double>(problem.shape.batch) * T;
    const double H = static_cast<double>(problem.config.hidden), P = static_cast<double>(problem.config.projected);
    return 2 * rows * 4 * H * P + (is_dense(problem.config.form) ? 2 * rows * T * 2 * P : 0);
}

std::string CublasProducts::version() const {
    int number = 0;
    implementation_->library.version(implementation_->handle, &number);
    // 120304 is 12.3.4, as the header says; 130001 likewise.
    return fmt::format("cuBLAS {}.{}.{}", number / 10000, number / 100 % 100, number % 100);
}

}  // namespace aft::bench
