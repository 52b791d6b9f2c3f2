#include "matrix_product.h"

#include "onednn_matmul.h"

#include "bench/shared_library.h"

#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>

namespace aft::bench {

namespace {

enum CblasOrder { row_major = 101 };
enum CblasTranspose { as_it_is = 111 };
using CblasSgemm = void(CblasOrder, CblasTranspose, CblasTranspose, int m, int n, int k, float alpha, const float *a,
                        int row_of_a, const float *b, int row_of_b, float beta, float *c, int row_of_c);
using DnnlSgemm = int(char transpose_a, char transpose_b, std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k,
                      float alpha, const float *a, std::ptrdiff_t row_of_a, const float *b, std::ptrdiff_t row_of_b,
                      float beta, float *c, std::ptrdiff_t row_of_c);

// OpenBLAS hands its jobs to this one, rather than to threads of its own that would spin beside those of the loops.
// The jobs wait for each other, so that each needs a thread.
using Job = void(int thread, void *data, int argument);
using RunJobs = void(int sync, Job *job, int count, std::size_t size, void *data, int argument);

void run_jobs(int /*sync*/, Job *job, int count, std::size_t size, void *data, int argument) {
#pragma omp parallel for num_threads(count) schedule(static, 1)
    for (int i = 0; i < count; ++i) {
        job(i, static_cast<char *>(data) + i * size, argument);
    }
}

constexpr int min_parallel = 1 << 13;  // elements below which waking threads costs more than the loop

// C = A B + beta C
template<typename Operand>
using Gemm = std::function<void(int m, int n, int k, const Operand *a, const Operand *b, float beta, float *c)>;

Gemm<float> load_sgemm(const std::string &path) {
    const SharedLibrary library({path});
    if (path.find("libdnnl") != std::string::npos) {
        DnnlSgemm *sgemm;
        library.find(sgemm, "dnnl_sgemm");
        return [sgemm](int m, int n, int k, const float *a, const float *b, float beta, float *c) {
            sgemm('N', 'N', m, n, k, 1.0f, a, k, b, n, beta, c, n);
        };
    }
    CblasSgemm *sgemm;
    if (path.find("libscipy_openblas") != std::string::npos) {
        void (*set_callback)(RunJobs *);
        void (*set_num_threads)(int);
        library.find(set_callback, "scipy_openblas_set_threads_callback_function");
        library.find(set_num_threads, "scipy_openblas_set_num_threads");
        library.find(sgemm, "scipy_cblas_sgemm");
        set_callback(run_jobs);
        set_num_threads(omp_get_max_threads());
    } else {
        library.find(sgemm, "cblas_sgemm");
    }
    return [sgemm](int m, int n, int k, const float *a, const float *b, float beta, float *c) {
        sgemm(row_major, as_it_is, as_it_is, m, n, k, 1.0f, a, k, b, n, beta, c, n);
    };
}

Gemm<BFloat16> load_mkl(const std::string &path) {
    using GemmOfBFloat16 =
        void(CblasOrder, CblasTranspose, CblasTranspose, int m, int n, int k, float alpha, const BFloat16 *a,
             int row_of_a, const BFloat16 *b, int row_of_b, float beta, float *c, int row_of_c);
    GemmOfBFloat16 *gemm;
    SharedLibrary({path}).find(gemm, "cblas_gemm_bf16bf16f32");
    return [gemm](int m, int n, int k, const BFloat16 *a, const BFloat16 *b, float beta, float *c) {
        gemm(row_major, as_it_is, as_it_is, m, n, k, 1.0f, a, k, b, n, beta, c, n);
    };
}

template<typename Operand>
ProductMaker<Operand> maker_of(const Gemm<Operand> &gemm) {
    return [gemm](const ProductPlan<Operand> &plan) -> Product<Operand> {
        return [gemm, plan](const Operand *a, const Operand *b, float *c) {
            if (plan.bias) {
#pragma omp parallel for if (plan.m * plan.n > min_parallel)
                for (int row = 0; row < plan.m; ++row) {
                    std::copy_n(plan.bias, plan.n, c + static_cast<std::size_t>(row) * plan.n);
                }
            }
            gemm(plan.m, plan.n, plan.k, a, b, plan.adds || plan.bias ? 1.0f : 0.0f, c);
        };
    };
}

}  // namespace

template<>
ProductMaker<float> load_product_maker(const std::string &path) {
    return maker_of(load_sgemm(path));
}

template<>
ProductMaker<BFloat16> load_product_maker(const std::string &path) {
    return path.find("libdnnl") != std::string::npos ? onednn_matmul_maker(path) : maker_of(load_mkl(path));
}

}  // namespace aft::bench
