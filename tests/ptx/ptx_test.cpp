#include "ptx.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const float not_a_number = std::nanf("");

/// A kernel "k" of two pointers, in %rd1 and %rd2. %r1 is the thread's number, and the pointers are at its word.
std::string module_of(const std::string &body) {
    return R"(
        .version 7.0
        .target sm_80
        .address_size 64
        .visible .entry k(
            .param .u64 .ptr .align 1 k_param_0,  // input
            .param .u64 .ptr .align 1 k_param_1
        )
        {
            .reg .pred %p<9>;
            .reg .b16 %rs<9>;
            .reg .b32 %r<29>;
            .reg .b64 %rd<29>;
            ld.param.b64 %rd1, [k_param_0];
            ld.param.b64 %rd2, [k_param_1];
            cvta.to.global.u64 %rd1, %rd1;
            cvta.to.global.u64 %rd2, %rd2;
            mov.u32 %r1, %tid.x;
            mul.wide.u32 %rd3, %r1, 4;
            add.s64 %rd1, %rd1, %rd3;
            add.s64 %rd2, %rd2, %rd3;
)" + body + "\nret;\n}\n";
}

/// Device memory of 32-bit words, all bits set.
struct Words {
    alignas(16) std::uint32_t words[256];

    Words() {
        std::memset(words, 0xff, sizeof(words));
    }
    std::uint64_t address() const {
        return reinterpret_cast<std::uint64_t>(words);
    }
    bool contains(std::uint64_t from, std::size_t bytes) const {
        return from >= address() && from + bytes <= address() + sizeof(words);
    }
};

std::uint32_t word(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

struct Run {
    Words input, output;

    void operator()(const std::string &body, unsigned threads = 1, unsigned shared = 0, unsigned blocks = 1) {
        const ptx::Module module(module_of(body));
        std::uint64_t pointers[] = {input.address(), output.address()};
        void *params[] = {&pointers[0], &pointers[1]};
        ptx::launch(*module.find("k"), {blocks}, {threads}, shared, params, [this](std::uint64_t at, std::size_t size) {
            return input.contains(at, size) || output.contains(at, size);
        });
    }
};

/// The value that a body leaves in %r9 from the operands in %r2, %r3 and %r4.
std::uint32_t result_of(const std::string &body, std::uint32_t a = 0, std::uint32_t b = 0, std::uint32_t c = 0) {
    Run run;
    run.input.words[0] = a;
    run.input.words[1] = b;
    run.input.words[2] = c;
    run("ld.global.nc.b32 %r2, [%rd1]; ld.global.nc.b32 %r3, [%rd1+4]; ld.global.nc.b32 %r4, [%rd1+8];\n" + body +
        "\nst.global.b32 [%rd2], %r9;");
    return run.output.words[0];
}

std::uint32_t of_floats(const std::string &body, float a, float b = 0, float c = 0) {
    return result_of(body, word(a), word(b), word(c));
}

bool compares(const std::string &how, float a, float b) {
    return of_floats("setp." + how + ".f32 %p1, %r2, %r3; selp.b32 %r9, 1, 0, %p1;", a, b) == 1;
}

void check_fails(const std::string &body, const std::string &what, unsigned threads = 1, unsigned shared = 0,
                 unsigned blocks = 1) {
    INFO(body);
    CHECK_THROWS_MATCHES(Run()(body, threads, shared, blocks), std::runtime_error,
                         MessageMatches(ContainsSubstring(what)));
}

}  // namespace

TEST_CASE("PTX integers wrap around, shift by any amount and divide by anything", "[ptx]") {
    CHECK(result_of("add.s32 %r9, %r2, %r3;", 0x7fffffff, 2) == 0x80000001);
    CHECK(result_of("sub.s32 %r9, 1, %r3;", 0, 3) == 0xfffffffe);
    CHECK(result_of("mul.lo.s32 %r9, %r2, %r3;", 0x10001, 0x10001) == 0x20001);
    CHECK(result_of("mad.lo.s32 %r9, %r2, -3, %r4;", 5, 0, 10) == 0xfffffffb);
    CHECK(result_of("mul.wide.s32 %rd9, %r2, %r3; shr.u64 %rd9, %rd9, 32; cvt.u32.u64 %r9, %rd9;", -1, 2) == ~0u);
    CHECK(result_of("mul.wide.u32 %rd9, %r2, %r3; shr.u64 %rd9, %rd9, 32; cvt.u32.u64 %r9, %rd9;", -1, 2) == 1);
    CHECK(result_of("div.s32 %r9, %r2, %r3;", -7, 2) == static_cast<std::uint32_t>(-3));
    CHECK(result_of("rem.s32 %r9, %r2, %r3;", -7, 2) == static_cast<std::uint32_t>(-1));
    CHECK(result_of("div.s32 %r9, %r2, %r3;", 0x80000000, -1) == 0x80000000);
    CHECK(result_of("div.u32 %r9, %r2, %r3;", 5, 0) == ~0u);
    CHECK(result_of("shl.b32 %r9, %r2, %r3;", 1, 32) == 0);
    CHECK(result_of("shr.s32 %r9, %r2, %r3;", 0x80000000, 40) == ~0u);
    CHECK(result_of("shr.u32 %r9, %r2, %r3;", 0x80000000, 31) == 1);
    CHECK(result_of("min.s32 %r9, %r2, %r3;", -1, 1) == ~0u);
    CHECK(result_of("min.u32 %r9, %r2, %r3;", -1, 1) == 1);
    CHECK(result_of("not.b32 %r9, %r2;", 0xf0) == 0xffffff0f);
    CHECK(result_of("cvt.s64.s32 %rd9, %r2; shr.u64 %rd9, %rd9, 32; cvt.u32.u64 %r9, %rd9;", 0x80000000) == ~0u);
    CHECK(result_of("cvt.u64.u32 %rd9, %r2; shr.u64 %rd9, %rd9, 32; cvt.u32.u64 %r9, %rd9;", 0x80000000) == 0);
    CHECK(result_of("mov.b64 %rd9, {%r2, %r3}; shl.b64 %rd9, %rd9, 8; mov.b64 {%r8, %r9}, %rd9;", 0xab000000, 1) ==
          0x1ab);
}

TEST_CASE("PTX floats round once, and as the instruction says", "[ptx]") {
    const float e = std::ldexp(1.0f, -13), third = 1.0f / 3;
    CHECK(of_floats("fma.rn.f32 %r9, %r2, %r3, %r4;", 1 + e, 1 - e, -1) == word(-e * e));
    CHECK(of_floats("mul.f32 %r8, %r2, %r3; add.f32 %r9, %r8, %r4;", 1 + e, 1 - e, -1) == word(0));
    CHECK(of_floats("fma.rn.f32 %r9, %r2, 0f40400000, 0fBF800000;", third) == word(std::fma(third, 3.0f, -1.0f)));
    CHECK(of_floats("div.rn.f32 %r9, %r2, %r3;", 1, 3) == word(third));
    CHECK(of_floats("rcp.rn.f32 %r9, %r2;", 3) == word(third));
    CHECK(of_floats("max.f32 %r9, %r2, %r3;", not_a_number, 1) == word(1));
    CHECK(of_floats("min.f32 %r9, %r2, %r3;", 1, not_a_number) == word(1));
    CHECK(of_floats("max.f32 %r9, %r2, %r3;", -0.0f, 0.0f) == word(0.0f));
    CHECK(of_floats("cvt.rmi.ftz.f32.f32 %r9, %r2;", -1.5f) == word(-2));
    CHECK(of_floats("cvt.rmi.ftz.f32.f32 %r9, %r2;", -1e-40f) == word(-0.0f));
    CHECK(of_floats("cvt.rmi.f32.f32 %r9, %r2;", -1e-40f) == word(-1));
    CHECK(of_floats("cvt.rni.f32.f32 %r9, %r2;", 2.5f) == word(2));
    CHECK(of_floats("cvt.rzi.s32.f32 %r9, %r2;", -2.9f) == static_cast<std::uint32_t>(-2));
    CHECK(of_floats("cvt.rzi.s32.f32 %r9, %r2;", 3e9f) == 0x7fffffff);
    CHECK(of_floats("cvt.rzi.s32.f32 %r9, %r2;", -infinity) == 0x80000000);
    CHECK(of_floats("cvt.rzi.s32.f32 %r9, %r2;", not_a_number) == 0);
    CHECK(of_floats("cvt.rzi.u32.f32 %r9, %r2;", -1) == 0);
    CHECK(of_floats("cvt.rn.f32.s32 %r8, -3; mov.b32 %r9, %r8;", 0) == word(-3));
}

TEST_CASE("PTX comparisons with a NaN are false, or true where they say so", "[ptx]") {
    for (const std::string how : {"eq", "ne", "lt", "le", "gt", "ge"}) {
        INFO(how);
        CHECK_FALSE(compares(how, not_a_number, 1));
        CHECK(compares(how + "u", 1, not_a_number));
    }
    CHECK(compares("lt", 1, 2));
    CHECK_FALSE(compares("ltu", 2, 1));
    CHECK(compares("ne", 2, 1));
    CHECK(compares("nan", not_a_number, 1));
    CHECK(compares("num", 2, 1));
    CHECK(result_of("setp.lt.s32 %p1, %r2, 0; selp.b32 %r9, 1, 0, %p1;", -1) == 1);
    CHECK(result_of("setp.lt.u32 %p1, %r2, 0; selp.b32 %r9, 1, 0, %p1;", -1) == 0);
    CHECK(result_of("mov.b16 %rs1, -1; and.b16 %rs2, %rs1, 1; setp.ne.b16 %p1, %rs2, 0; selp.b32 %r9, 1, 0, %p1;") ==
          1);
    CHECK(result_of("setp.eq.b32 %p1, %r2, 0; setp.eq.b32 %p2, %r2, 1; or.pred %p3, %p1, %p2; not.pred %p4, %p3;"
                    "selp.f32 %r9, 0f3F800000, 0f00000000, %p4;",
                    2) == word(1));
    CHECK(result_of("mov.pred %p1, 0; selp.b32 %r9, 1, 2, %p1;") == 2);
    CHECK(result_of("mov.pred %p1, -1; selp.b32 %r9, 1, 2, %p1;") == 1);
}

TEST_CASE("PTX threads part and meet again", "[ptx]") {
    Run run;
    // Thread i adds 0 + 1 + ... + i, and odd ones negate it.
    run(R"(
            mov.b32 %r2, 0;
            mov.b32 %r3, 0;
        $loop:
            add.s32 %r2, %r2, %r3;
            add.s32 %r3, %r3, 1;
            setp.le.s32 %p1, %r3, %r1;
            @%p1 bra $loop;
            and.b32 %r4, %r1, 1;
            setp.eq.b32 %p2, %r4, 0;
            @!%p2 neg.s32 %r2, %r2;
            st.global.b32 [%rd2], %r2;
            @%p2 ret;
            st.global.b32 [%rd2+256], %r2;)",
        64);
    for (int i = 0; i < 64; ++i) {
        const std::uint32_t sum = i * (i + 1) / 2 * (i % 2 ? -1 : 1);
        CHECK(run.output.words[i] == sum);
        CHECK(run.output.words[64 + i] == (i % 2 ? sum : ~0u));
    }
}

TEST_CASE("PTX knows threads and blocks in three dimensions", "[ptx]") {
    const ptx::Module module(R"(
        .visible .entry k(.param .u64 k_param_0, .param .u32 k_param_1)
        .reqntid 3, 2, 2
        {
            .reg .b32 %r<9>;
            .reg .b64 %rd<5>;
            mov.u32 %r1, %tid.z;
            mov.u32 %r2, %ntid.y;
            mov.u32 %r3, %tid.y;
            mad.lo.s32 %r1, %r1, %r2, %r3;
            mad.lo.s32 %r1, %r1, 3, %tid.x;
            mad.lo.s32 %r1, %ctaid.y, 12, %r1;
            mul.wide.u32 %rd1, %r1, 4;
            ld.param.b64 %rd2, [k_param_0];
            add.s64 %rd1, %rd1, %rd2;
            ld.param.b32 %r4, [k_param_1];
            add.s32 %r4, %r4, %r1;
            st.global.b32 [%rd1], %r4;
            ret;
        })");
    Words output;
    std::uint64_t pointer = output.address();
    int first = 100;
    void *params[] = {&pointer, &first};
    const ptx::MemoryCheck check = [&](std::uint64_t at, std::size_t size) { return output.contains(at, size); };
    CHECK(ptx::launch(*module.find("k"), {1, 2, 1}, {3, 2, 2}, 0, params, check) == 13 * 24);
    for (unsigned i = 0; i < 25; ++i) {
        CHECK(output.words[i] == (i < 24 ? 100 + i : ~0u));
    }
    CHECK_THROWS_MATCHES(ptx::launch(*module.find("k"), {1, 2, 1}, {12, 1, 1}, 0, params, check), std::runtime_error,
                         MessageMatches(ContainsSubstring(".reqntid")));
    CHECK(module.find("l") == nullptr);
    CHECK(module.names() == std::vector<std::string>{"k"});
}

TEST_CASE("PTX threads exchange values through shared memory", "[ptx]") {
    Run run;
    // Half of the threads take another way to the barrier, thread 0 leaves before it.
    run(R"(
            setp.eq.b32 %p2, %r1, 0;
            @%p2 bra $out;
            setp.lt.s32 %p1, %r1, 16;
            @%p1 bra $low;
            st.shared.b32 [%rd3], %r1;
            bra.uni $meet;
        $low:
            mul.lo.s32 %r2, %r1, 100;
            st.shared.b32 [%rd3], %r2;
        $meet:
            bar.sync 0;
            xor.b32 %r3, %r1, 31;
            mul.wide.u32 %rd4, %r3, 4;
            ld.shared.b32 %r4, [%rd4];
            st.global.b32 [%rd2], %r4;
        $out:)",
        32, 128);
    for (int i = 1; i < 31; ++i) {
        CHECK(run.output.words[i] == static_cast<std::uint32_t>(i < 16 ? 31 - i : 100 * (31 - i)));
    }
    CHECK(run.output.words[0] == ~0u);
    CHECK(run.output.words[31] == ~0u);  // never written: shared memory starts like this
}

TEST_CASE("PTX loads and stores vectors and parts of words", "[ptx]") {
    Run run;
    for (int i = 0; i < 4; ++i) {
        run.input.words[i] = 0x80 + i;
    }
    run("ld.global.nc.v4.b32 {%r2, %r3, %r4, %r5}, [%rd1];"
        "st.global.v4.b32 [%rd2], {%r5, %r4, %r3, 7};"
        "ld.global.v2.b64 {%rd4, %rd5}, [%rd1];"
        "st.global.v2.b64 [%rd2+16], {%rd5, %rd4};"
        "ld.global.s8 %r6, [%rd1];"
        "st.global.b32 [%rd2+32], %r6;"
        "ld.global.b32 %rd6, [%rd1+4];"
        "st.global.b64 [%rd2+40], %rd6;");
    const std::uint32_t expected[] = {0x83, 0x82, 0x81, 7, 0x82, 0x83, 0x80, 0x81, 0xffffff80, ~0u, 0x81, 0};
    for (int i = 0; i < 12; ++i) {
        CHECK(run.output.words[i] == expected[i]);
    }
}

TEST_CASE("PTX has local memory, also by generic address", "[ptx]") {
    Run run;
    run(R"(
            .local .align 4 .b8 depot[16];
            mov.b64 %rd4, depot;
            cvta.local.u64 %rd5, %rd4;
            st.local.b32 [%rd4+8], %r1;
            ld.b32 %r2, [%rd5+8];
            st.b32 [%rd2], %r2;)",
        8);
    for (unsigned i = 0; i < 8; ++i) {
        CHECK(run.output.words[i] == i);
    }
    check_fails(".local .align 4 .b8 depot[16]; st.local.b32 [depot+16], %r1;", "out of bounds");
}

TEST_CASE("PTX atomics take the threads one after the other", "[ptx]") {
    Run run;
    run.output.words[64] = word(0);
    run.output.words[65] = 0;
    run(R"(
            sub.s64 %rd2, %rd2, %rd3;
            atom.global.add.f32 %r2, [%rd2+256], 0f3F800000;
            ld.relaxed.sys.global.b32 %r3, [%rd2+260];
        $again:
            add.s32 %r4, %r3, 2;
            atom.relaxed.global.cas.b32 %r5, [%rd2+260], %r3, %r4;
            setp.eq.b32 %p1, %r5, %r3;
            mov.b32 %r3, %r5;
            @!%p1 bra $again;)",
        64, 0, 2);
    CHECK(run.output.words[64] == word(128));
    CHECK(run.output.words[65] == 256);
}

TEST_CASE("PTX that isn't known is refused with its line", "[ptx]") {
    const auto refused = [](const std::string &text, const std::string &what) {
        INFO(text);
        CHECK_THROWS_MATCHES(ptx::Module(text), std::runtime_error, MessageMatches(ContainsSubstring(what)));
    };
    refused(module_of("fly.away.b32 %r1, %r2;"), "line 22 \"fly.away.b32 %r1, %r2;\": instruction 'fly.away.b32'");
    refused(module_of("ld.global.v8.b32 %r1, [%rd1];"), "ld.global.v8.b32");
    refused(module_of("atom.global.inc.u32 %r1, [%rd1], 1;"), "atom.global.inc.u32");
    refused(module_of("add.s32 %r1, %r2, %x3;"), "'%x3'");
    refused(module_of("add.s32 %r1, %r2, %rd3;"), "'%rd3' is of another size");
    refused(module_of("add.s32 5, %r2, %r3;"), "'5' is no register");
    refused(module_of("add.s32 %r1, %r2, 5x;"), "'5x' is unknown");
    refused(module_of("add.s32 %r1, %r2;"), "expected ','");
    refused(module_of("bra $nowhere;"), "'$nowhere' is no label");
    refused(module_of("bar.sync 1;"), "expected '0'");
    refused(".global .align 4 .b8 table[16];", "line 1");
    refused(".visible .entry k() {", "ends too early");
}

TEST_CASE("PTX accesses out of bounds and misaligned ones are found", "[ptx]") {
    check_fails(
        "ld.global.b32 %r2, [%rd1+-4];",
        "line 22 \"ld.global.b32 %r2, [%rd1+-4];\": thread (0, 0, 0) of block (0, 0, 0) accesses 4 bytes at 0x");
    check_fails("st.global.b32 [%rd2+1020], 0;", "thread (1, 0, 0)", 2);
    check_fails("ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd1+1012];", "out of bounds");
    check_fails("ld.global.nc.v4.b32 {%r2, %r3, %r4, %r5}, [%rd1];", "misaligned", 2);
    check_fails("ld.shared.b32 %r2, [%rd3];", "accesses 4 bytes at 0x8, which are out of bounds", 3, 8);
    check_fails("st.shared.v2.b64 [%rd3+8], {%rd1, %rd2};", "misaligned", 1, 64);
    check_fails("", "above 48 KiB", 1, 50000);
    check_fails("", "too many threads", 1025);
    check_fails("", "too many blocks", 1, 0, 0);
}

TEST_CASE("PTX data races are found", "[ptx]") {
    const std::string neighbour = "xor.b32 %r2, %r1, 1; mul.wide.u32 %rd4, %r2, 4;";
    const std::string write = "st.shared.b32 [%rd3], %r1;", read = "ld.shared.b32 %r3, [%rd4];", wait = "bar.sync 0;";
    Run()(neighbour + write + wait + read + wait + write, 2, 8);
    check_fails(neighbour + write + read, "reads the word at 0x4, a race with thread (1, 0, 0)", 2, 8);
    check_fails(neighbour + read + write, "changes the word at 0x0, a race with thread (1, 0, 0)", 2, 8);
    check_fails("st.shared.b32 [0], %r1;", "changes", 2, 8);
    Run()("st.shared.b32 [0], 5; ld.shared.b32 %r3, [0];", 2, 8);  // it's the same value
    check_fails("setp.eq.b32 %p1, %r1, 0; @%p1 st.shared.b32 [0], 5; ld.shared.b32 %r3, [0];", "reads", 2, 8);
    check_fails("ld.shared.b32 %r3, [0]; setp.eq.b32 %p1, %r1, 2; @%p1 st.shared.b32 [0], 5;", "a race with others", 3,
                8);
}

TEST_CASE("PTX data races between blocks are found", "[ptx]") {
    check_fails("mov.u32 %r2, %ctaid.x; st.global.b32 [%rd2], %r2;", "thread (0, 0, 0) of another block", 1, 0, 2);
    const std::string by_block = "mov.u32 %r2, %ctaid.x; mul.wide.u32 %rd4, %r2, 4; add.s64 %rd5, %rd2, %rd4;";
    Run()(by_block + "st.global.b32 [%rd5], %r2; bar.sync 0; ld.global.b32 %r3, [%rd5];", 1, 0, 4);
    check_fails(by_block + "st.global.b32 [%rd5], %r2; bar.sync 0; ld.global.b32 %r3, [%rd2];", "reads", 1, 0, 2);
    check_fails(by_block + "ld.global.b32 %r3, [%rd2+4]; st.global.b32 [%rd5], %r2;", "changes", 1, 0, 2);
    check_fails("st.global.b32 [%rd2], 0; ld.global.nc.b32 %r3, [%rd2];", "ld.global.nc.b32");
}
