#include "ceilings.h"

#include "devices/cpu_features.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace aft::bench {

namespace {

using FmaLoop = float (*)(std::int64_t);

// A multiply-add takes 4 or 5 cycles and two start in each: 10 chains in flight reach the peak of every core known
// today. 12 of them and the two constants fit the 16 registers of SSE and AVX2.
constexpr int chains = 12;

// Vector extensions instead of intrinsics: GCC and Clang contract `*` and `+` to the multiply-add of the target (see
// CMakeLists.txt), and to two instructions where there is none. It is a macro as GCC splits vectors that a template's
// own target doesn't have before it inlines them.
#define AFT_FMA_LOOP(name, lanes, attribute)                                        \
    attribute float name(std::int64_t steps) {                                      \
        using Vector = float __attribute__((vector_size((lanes) * sizeof(float)))); \
        Vector chain[chains];                                                       \
        for (int i = 0; i < chains; ++i) {                                          \
            chain[i] = Vector{} + static_cast<float>(i);                            \
        }                                                                           \
        /* Read at run time, so that nothing is computed at compile time. */        \
        const volatile float scale = 0.999f, shift = 1e-4f;                         \
        const Vector a = Vector{} + scale, b = Vector{} + shift;                    \
        for (std::int64_t step = 0; step < steps; ++step) {                         \
            _Pragma("GCC unroll 12") for (int i = 0; i < chains; ++i) {             \
                chain[i] = chain[i] * a + b;                                        \
            }                                                                       \
        }                                                                           \
        Vector sum{};                                                               \
        for (int i = 0; i < chains; ++i) {                                          \
            sum += chain[i];                                                        \
        }                                                                           \
        return sum[0];                                                              \
    }

AFT_FMA_LOOP(fma_loop_128, 4, )
#if defined(__x86_64__)
AFT_FMA_LOOP(fma_loop_avx, 8, __attribute__((target("avx"))))
AFT_FMA_LOOP(fma_loop_avx2, 8, __attribute__((target("avx2,fma"))))
AFT_FMA_LOOP(fma_loop_avx512, 16, __attribute__((target("avx512f"))))
#endif
#undef AFT_FMA_LOOP

#if defined(__x86_64__)
// Two products of bfloat16 are added to each lane.
__attribute__((target("avx512f,avx512bf16"))) float bfloat16_loop_avx512(std::int64_t steps) {
    const volatile float scale = 1e-3f;
    const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(scale), _mm512_set1_ps(scale));
    __m512 chain[chains];
    for (int i = 0; i < chains; ++i) {
        chain[i] = _mm512_set1_ps(static_cast<float>(i));
    }
    for (std::int64_t step = 0; step < steps; ++step) {
        _Pragma("GCC unroll 12") for (__m512 &each : chain) {
            each = _mm512_dpbf16_ps(each, a, a);
        }
    }
    __m512 sum = chain[0];
    for (int i = 1; i < chains; ++i) {
        sum = _mm512_add_ps(sum, chain[i]);
    }
    return _mm512_cvtss_f32(sum);
}

// An instruction of the matrix unit multiplies 16 rows of 32 steps by 16 lanes, for two tiles of sums in turn from each
// of two tiles of rows.
__attribute__((target("amx-tile,amx-bf16"))) float bfloat16_loop_amx(std::int64_t steps) {
    struct alignas(64) Configuration {
        std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
        std::uint16_t bytes_of_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    const Configuration configuration;
    _tile_loadconfig(&configuration);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (std::int64_t step = 0; step < steps; step += 4) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    alignas(64) float sum[16 * 16];
    _tile_stored(0, sum, 64);
    _tile_release();
    return sum[0];
}
#endif

struct Isa {
    const char *name;
    int multiply_adds;  // of a step of the loop
    FmaLoop loop;
};

// Those of this machine, the widest first.
std::vector<Isa> isas() {
    std::vector<Isa> found;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        found.push_back({"AVX-512", 16 * chains, fma_loop_avx512});
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        found.push_back({"AVX2", 8 * chains, fma_loop_avx2});
    }
    if (__builtin_cpu_supports("avx")) {
        found.push_back({"AVX", 8 * chains, fma_loop_avx});
    }
    found.push_back({"SSE2", 4 * chains, fma_loop_128});
    if (__builtin_cpu_supports("avx512bf16")) {  // of kernels that keep bfloat16 alone
        found.push_back({"AVX512-BF16", 32 * chains, bfloat16_loop_avx512});
    }
    if (missing_cpu_features("avx512_sapphirerapids").empty() && may_use_matrix_unit()) {
        found.push_back({"AMX", 16 * 32 * 16, bfloat16_loop_amx});
    }
#elif defined(__aarch64__)
    found.push_back({"NEON", 4 * chains, fma_loop_128});
#else
    found.push_back({"128-bit vectors", 4 * chains, fma_loop_128});
#endif
    return found;
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// body(thread) on every thread, the caller's included.
template<typename Body>
void on_threads(int threads, const Body &body) {
    std::vector<std::thread> others;
    for (int thread = 1; thread < threads; ++thread) {
        others.emplace_back(body, thread);
    }
    body(0);
    for (std::thread &other : others) {
        other.join();
    }
}

}  // namespace

std::string machine_isa() {
    return isas().front().name;
}

std::string isa_of(const std::string &target, const std::string &storage) {
#if defined(__x86_64__)
    const std::vector<std::string_view> words = words_of(target);
    const auto has = [&](std::string_view start) {
        return std::any_of(words.begin(), words.end(),
                           [&](std::string_view word) { return word.substr(0, start.size()) == start; });
    };
    if (storage == "bfloat16" && has("avx512_sapphirerapids")) {
        return "AMX";
    }
    if (storage == "bfloat16" && has("avx512_zen")) {
        return "AVX512-BF16";
    }
    return has("avx512") ? "AVX-512" : has("fma") ? "AVX2" : has("avx") ? "AVX" : "SSE2";
#else
    static_cast<void>(target);
    static_cast<void>(storage);
    return machine_isa();
#endif
}

double fma_gflops(const std::string &isa, int threads) {
    for (const Isa &each : isas()) {
        if (each.name != isa) {
            continue;
        }
        constexpr std::int64_t steps = 1'000'000;  // 6 to 16 cycles each
        std::vector<float> sums(threads);          // what keeps the compiler from dropping the loop
        std::vector<double> starts(threads), ends(threads);
        std::atomic<int> missing{threads};  // a thread takes as long to start as a hundredth of the loop
        on_threads(threads, [&](int thread) {
            for (--missing; missing > 0;) {
                std::this_thread::yield();
            }
            starts[thread] = seconds_now();
            sums[thread] = each.loop(steps);
            ends[thread] = seconds_now();
        });
        const double seconds =
            *std::max_element(ends.begin(), ends.end()) - *std::min_element(starts.begin(), starts.end());
        return 2e-9 * steps * each.multiply_adds * threads / seconds;
    }
    return std::numeric_limits<double>::quiet_NaN();
}

CopyLoop::CopyLoop() : source_(std::size_t{32} << 20, 1.0f), destination_(source_.size()) {}  // 128 MiB each

double CopyLoop::operator()(int threads) {
    const std::size_t part = source_.size() / threads;
    on_threads(threads, [&](int thread) {
        std::memcpy(destination_.data() + thread * part, source_.data() + thread * part, part * sizeof(float));
    });
    return 2.0 * static_cast<double>(part * sizeof(float)) * threads;
}

}  // namespace aft::bench
