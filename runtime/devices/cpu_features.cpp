#include "devices/cpu_features.h"

#include <algorithm>
#include <array>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif (defined(__aarch64__) || defined(__riscv)) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace aft {
namespace {

struct CpuFeature {
    std::string word;  // in a Halide target
    bool present;
};

#if defined(__x86_64__) || defined(__i386__)
#define AFT_CPU_HAS(feature) (__builtin_cpu_supports(feature) != 0)

/// A bit that the CPUID instruction sets in EAX, EBX, ECX or EDX. For features that some compilers' builtins don't
/// know.
bool cpuid_has(unsigned leaf, unsigned subleaf, int which, int bit) {
    std::array<unsigned, 4> r{};
    return __get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]) != 0 && (r[which] >> bit & 1) != 0;
}

/// Whether the operating system saves the registers of AMX. Only where there is AVX, hence XGETBV.
bool saves_tiles() {
    unsigned low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 17 & 3) == 3;
}

/// Halide's words for x86 features. Halide takes a word for the first CPU that had the feature (src/CodeGen_X86.cpp),
/// and LLVM then uses the other instructions of that CPU too. The words of later CPUs imply those of earlier ones, as
/// in Halide.
std::vector<CpuFeature> cpu_features() {
    enum { eax, ebx, ecx, edx };
    const bool f16c = cpuid_has(1, 0, ecx, 29), movbe = cpuid_has(1, 0, ecx, 22);
    const bool lzcnt = cpuid_has(0x80000001, 0, ecx, 5);
    const bool sse41 = AFT_CPU_HAS("sse4.1");
    const bool avx = sse41 && AFT_CPU_HAS("avx") && AFT_CPU_HAS("sse4.2") && AFT_CPU_HAS("popcnt");
    const bool avx2 = avx && AFT_CPU_HAS("avx2") && AFT_CPU_HAS("fma") && f16c && AFT_CPU_HAS("bmi") &&
                      AFT_CPU_HAS("bmi2") && lzcnt && movbe;
    const bool avxvnni = avx2 && cpuid_has(7, 1, eax, 4);
    const bool amx = cpuid_has(7, 0, edx, 25) && cpuid_has(7, 0, edx, 22);  // int8 and bf16
    const bool avx512 = avx2 && AFT_CPU_HAS("avx512f") && AFT_CPU_HAS("avx512cd");
    const bool knl = avx512 && AFT_CPU_HAS("avx512er") && AFT_CPU_HAS("avx512pf");
    const bool skylake = avx512 && AFT_CPU_HAS("avx512vl") && AFT_CPU_HAS("avx512bw") && AFT_CPU_HAS("avx512dq");
    const bool cannonlake = skylake && AFT_CPU_HAS("avx512ifma") && AFT_CPU_HAS("avx512vbmi");
    const bool zen4 = cannonlake && AFT_CPU_HAS("avx512vnni") && AFT_CPU_HAS("avx512bf16") &&
                      AFT_CPU_HAS("avx512bitalg") && AFT_CPU_HAS("avx512vbmi2");
    return {
        {"sse41", sse41},
        {"avx", avx},
        {"f16c", avx && f16c},
        {"fma", avx && AFT_CPU_HAS("fma")},
        {"fma4", avx && AFT_CPU_HAS("fma4")},
        {"avx2", avx2},
        {"avxvnni", avxvnni},
        {"avx512", avx512},
        {"avx512_knl", knl},
        {"avx512_skylake", skylake},
        {"avx512_cannonlake", cannonlake},
        {"avx512_zen4", zen4},
        {"avx512_zen5", zen4 && avxvnni},
        {"avx512_sapphirerapids", zen4 && avxvnni && amx && saves_tiles()},
    };
}
#undef AFT_CPU_HAS
#elif defined(__aarch64__) && defined(__linux__)
/// Halide's words for features that the first ARMv8 CPUs lack. All have NEON.
std::vector<CpuFeature> cpu_features() {
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    return {
        {"arm_dot_prod", (first & HWCAP_ASIMDDP) != 0},
        {"arm_fp16", (first & HWCAP_FPHP) != 0 && (first & HWCAP_ASIMDHP) != 0},
        {"sve2", (second & HWCAP2_SVE2) != 0},
    };
}
#elif defined(__riscv) && defined(__linux__)
/// Vectors and their length. Halide's code works for one length only.
std::vector<CpuFeature> cpu_features() {
    const bool rvv = (getauxval(AT_HWCAP) >> ('V' - 'A') & 1) != 0;
    std::vector<CpuFeature> features = {{"rvv", rvv}};
    if (rvv) {
        unsigned long bytes;
        asm("csrr %0, 0xc22" : "=r"(bytes));  // vlenb, by its number: this file is compiled without the extension
        features.push_back({"vector_bits_" + std::to_string(8 * bytes), true});
    }
    return features;
}
#elif defined(__wasm__)
/// A module with vectors isn't even loaded where there are none.
std::vector<CpuFeature> cpu_features() {
    return {{"wasm_simd128", true}};
}
#else
std::vector<CpuFeature> cpu_features() {
    return {};
}
#endif

/// Words of a target that need no feature of the CPU.
bool is_neutral(std::string_view word) {
    static constexpr std::array<std::string_view, 31> words = {"x86",
                                                               "arm",
                                                               "wasm",
                                                               "wasmrt",
                                                               "riscv",
                                                               "32",
                                                               "64",
                                                               "linux",
                                                               "osx",
                                                               "windows",
                                                               "noos",
                                                               "no_runtime",
                                                               "no_asserts",
                                                               "user_context",
                                                               "debug",
                                                               "jit",
                                                               "no_bounds_query",
                                                               "asan",
                                                               "tsan",
                                                               "msan",
                                                               "profile",
                                                               "sanitizer_coverage",
                                                               "strict_float",
                                                               "armv8a",
                                                               "no_neon",
                                                               "large_buffers",
                                                               "enable_backtraces",
                                                               "cuda",
                                                               "opencl",
                                                               "vulkan",
                                                               "vk_int8"};
#if defined(__riscv)
    static constexpr std::array<std::string_view, 3> prefixes = {"tune_", "cuda_capability_", "vk_v"};
#else
    static constexpr std::array<std::string_view, 4> prefixes = {"tune_", "vector_bits_", "cuda_capability_", "vk_v"};
#endif
    return std::find(words.begin(), words.end(), word) != words.end() ||
           std::any_of(prefixes.begin(), prefixes.end(),
                       [&](std::string_view prefix) { return word.substr(0, prefix.size()) == prefix; });
}

}  // namespace

bool may_use_matrix_unit() {
#if defined(__linux__) && defined(__x86_64__)
    constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return true;
#endif
}

std::vector<std::string_view> words_of(std::string_view target) {
    std::vector<std::string_view> words;
    for (std::size_t dash; (dash = target.find('-')) != target.npos; target.remove_prefix(dash + 1)) {
        words.push_back(target.substr(0, dash));
    }
    words.push_back(target);
    return words;
}

std::string missing_cpu_features(const std::string &target) {
    const std::vector<CpuFeature> features = cpu_features();
    std::string missing;
    for (const std::string_view word : words_of(target)) {
        const auto known =
            std::find_if(features.begin(), features.end(), [&](const auto &f) { return f.word == word; });
        if (known == features.end() ? !is_neutral(word) : !known->present) {
            missing.append(missing.empty() ? "" : ", ").append(word);
        }
    }
    return missing;
}

}  // namespace aft
