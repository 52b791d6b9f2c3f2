#include "blas.h"

#include "failure.h"
#include "shared_library.h"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>

namespace aft::bench {

namespace {

// Large enough to hide what a call costs, small enough for tens of rounds a second.
constexpr int extent = 1024;

std::vector<std::string> library_names(const char *variable, const std::vector<std::string> &defaults) {
    const char *const path = std::getenv(variable);
    return path && *path ? std::vector<std::string>{path} : defaults;
}

// All three matrices are [extent, extent], row by row.
using Multiply = std::function<void(const float *a, const float *b, float *product)>;

struct Blas {
    std::string library;
    Multiply multiply;
};

Blas load_openblas(int threads) {
    const SharedLibrary library(library_names("AFT_OPENBLAS", {"libopenblas.so.0", "libopenblas.so"}));
    const std::string prefix = library.has("scipy_cblas_sgemm") ? "scipy_" : "";  // SciPy's own builds
    void (*multiply)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a,
                     int lda, const float *b, int ldb, float beta, float *c, int ldc);
    void (*set_threads)(int);
    char *(*configuration)(), *(*core)();
    library.find(multiply, (prefix + "cblas_sgemm").c_str());
    library.find(set_threads, (prefix + "openblas_set_num_threads").c_str());
    library.find(configuration, (prefix + "openblas_get_config").c_str());
    library.find(core, (prefix + "openblas_get_corename").c_str());
    set_threads(threads);
    // "OpenBLAS 0.3.30 NO_LAPACKE DYNAMIC_ARCH ..."
    const std::string words = configuration();
    const std::string version = words.substr(0, words.find(' ', words.find(' ') + 1));
    return {fmt::format("{} ({})", version, core()), [multiply](const float *a, const float *b, float *product) {
                constexpr int row_major = 101, as_it_is = 111;  // as cblas.h has them
                multiply(row_major, as_it_is, as_it_is, extent, extent, extent, 1, a, extent, b, extent, 0, product,
                         extent);
            }};
}

// As dnnl_types.h declares them.
struct OneDnnVersion {
    int major, minor, patch;
    const char *hash;
    unsigned cpu_runtime, gpu_runtime;
};
constexpr unsigned openmp_runtime = 2;

Blas load_onednn(int threads) {
    const SharedLibrary library(library_names("AFT_ONEDNN", {"libdnnl.so.3", "libdnnl.so.2"}));
    int (*multiply)(char transpose_a, char transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                    const float *a, std::int64_t lda, const float *b, std::int64_t ldb, float beta, float *c,
                    std::int64_t ldc);
    const OneDnnVersion *(*version)();
    library.find(multiply, "dnnl_sgemm");
    library.find(version, "dnnl_version");
    const OneDnnVersion &found = *version();
    if (found.cpu_runtime != openmp_runtime) {
        throw std::runtime_error("its threads aren't OpenMP's, so that their number can't be set");
    }
    void (*set_threads)(int);
    library.find(set_threads, "omp_set_num_threads");  // of the OpenMP that it is linked to
    set_threads(threads);
    return {fmt::format("oneDNN {}.{}.{}", found.major, found.minor, found.patch),
            [multiply](const float *a, const float *b, float *product) {
                const int status =
                    multiply('N', 'N', extent, extent, extent, 1, a, extent, b, extent, 0, product, extent);
                if (status != 0) {
                    throw std::runtime_error(fmt::format("dnnl_sgemm: status {}", status));
                }
            }};
}

struct Matrices {
    std::vector<float> a, b, product;

    Matrices() : a(std::size_t{extent} * extent), b(a.size()), product(a.size()) {
        for (std::size_t i = 0; i < a.size(); ++i) {  // between -1 and 1, without a pattern along rows or columns
            a[i] = static_cast<float>(i * 2654435761u % 2003) / 1001 - 1;
            b[i] = static_cast<float>(i * 2246822519u % 1999) / 999 - 1;
        }
    }
};

double max_error(const Multiply &multiply, Matrices &matrices) {
    std::fill(matrices.product.begin(), matrices.product.end(), std::numeric_limits<float>::quiet_NaN());
    multiply(matrices.a.data(), matrices.b.data(), matrices.product.data());
    return product_error(
        extent, extent, extent, matrices.product.data(),
        [&](auto row, auto step) { return matrices.a[row * extent + step]; },
        [&](auto, auto step, auto column) { return matrices.b[step * extent + column]; });
}

}  // namespace

std::vector<Products> blas_products(int threads, std::string &libraries) {
    // Their threads would go on spinning for milliseconds beside the kernel that is timed next. Read on loading.
    setenv("OPENBLAS_THREAD_TIMEOUT", "4", 0);  // 2^4 cycles
    setenv("OMP_WAIT_POLICY", "passive", 0);

    std::vector<Products> all;
    const auto matrices = std::make_shared<Matrices>();
    const auto add = [&](const char *name, const char *title, Blas (*load)(int threads)) {
        std::string text;
        try {
            const Blas blas = load(threads);
            all.push_back({std::string(name) + "_sgemm", blas.library, 2.0 * extent * extent * extent,
                           [=] { return max_error(blas.multiply, *matrices); },
                           [=] { blas.multiply(matrices->a.data(), matrices->b.data(), matrices->product.data()); }});
            text = blas.library;
        } catch (const std::exception &error) {
            text = fmt::format("{} not measured: {}", title, what_failed(error));
        }
        libraries += (libraries.empty() ? "" : "; ") + text;
    };
    add("openblas", "OpenBLAS", load_openblas);
    add("onednn", "oneDNN", load_onednn);
    return all;
}

}  // namespace aft::bench
