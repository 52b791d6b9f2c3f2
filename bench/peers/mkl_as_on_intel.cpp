// Preloaded, it lets MKL take a CPU of another maker for one of Intel, and so use AVX-512: in PyTorch's wheel, MKL asks
// this function by its dynamic symbol.
extern "C" int mkl_serv_intel_cpu_true() {
    return 1;
}
