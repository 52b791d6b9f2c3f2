#include "sgemm.h"

#include "bench/shared_library.h"

#include <omp.h>

#include <cstddef>

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

Sgemm of_cblas(CblasSgemm *sgemm) {
    return [sgemm](int m, int n, int k, const float *a, int row_of_a, const float *b, int row_of_b, float beta,
                   float *c, int row_of_c) {
        sgemm(row_major, as_it_is, as_it_is, m, n, k, 1.0f, a, row_of_a, b, row_of_b, beta, c, row_of_c);
    };
}

}  // namespace

Sgemm load_sgemm(const std::string &path) {
    const SharedLibrary library({path});
    if (path.find("libdnnl") != std::string::npos) {
        DnnlSgemm *sgemm;
        library.find(sgemm, "dnnl_sgemm");
        return [sgemm](int m, int n, int k, const float *a, int row_of_a, const float *b, int row_of_b, float beta,
                       float *c,
                       int row_of_c) { sgemm('N', 'N', m, n, k, 1.0f, a, row_of_a, b, row_of_b, beta, c, row_of_c); };
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
    return of_cblas(sgemm);
}

}  // namespace aft::bench
