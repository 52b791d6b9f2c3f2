// The functions of OpenBLAS that the benchmark calls, for machines without it. With FAKE_BLAS_WRONG in the environment,
// one element of the product is wrong.

#include <cstdlib>
#include <vector>

extern "C" {

void cblas_sgemm(int, int, int, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                 float, float *c, int ldc) {
    for (int row = 0; row < m; ++row) {
        std::vector<float> sums(n);
        for (int step = 0; step < k; ++step) {
            for (int column = 0; column < n; ++column) {
                sums[column] += alpha * a[row * lda + step] * b[step * ldb + column];
            }
        }
        for (int column = 0; column < n; ++column) {
            c[row * ldc + column] = sums[column];
        }
    }
    if (std::getenv("FAKE_BLAS_WRONG")) {
        c[0] += 1;
    }
}

void openblas_set_num_threads(int) {}

const char *openblas_get_config() {
    return "OpenBLAS 9.8.7 FAKE";
}

const char *openblas_get_corename() {
    return "Fake";
}
}
