#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

/// Pages that take memory once they are written to, between two that may not be touched.
class GuardedPages {
public:
    explicit GuardedPages(std::int64_t floats) {
        const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t bytes = (floats * sizeof(float) + page - 1) / page * page;
        floats_ = bytes / sizeof(float);
        mapped_ = bytes + 2 * page;
        memory_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) {
            SKIP("no address space for " << floats << " floats");
        }
        begin_ = reinterpret_cast<float *>(static_cast<char *>(memory_) + page);
        REQUIRE(mprotect(begin_, bytes, PROT_READ | PROT_WRITE) == 0);
    }
    ~GuardedPages() {
        munmap(memory_, mapped_);
    }
    GuardedPages(const GuardedPages &) = delete;
    GuardedPages &operator=(const GuardedPages &) = delete;

    float *begin() const {
        return begin_;
    }
    float *end() const {
        return begin_ + floats_;
    }

private:
    std::size_t floats_, mapped_;
    void *memory_;
    float *begin_;
};

/// A tensor that starts at the first float of its pages, or ends at the last.
class Tensor {
public:
    Tensor(const TensorView<float, 3>::Extents &extents, const TensorView<float, 3>::Extents &strides, bool at_end)
        : span_(1 + (extents[0] - 1) * strides[0] + (extents[1] - 1) * strides[1] + (extents[2] - 1) * strides[2]),
          pages_(span_), view_(at_end ? pages_.end() - span_ : pages_.begin(), extents, strides) {}

    const TensorView<float, 3> &view() const {
        return view_;
    }
    template<typename Visit>
    void for_each(Visit visit) const {
        const auto [B, T, H] = view_.extents;
        for (std::int64_t i = 0; i < B * T * H; ++i) {
            visit(i, view_.data[i / (T * H) * view_.strides[0] + i / H % T * view_.strides[1] + i % H]);
        }
    }

private:
    std::int64_t span_;
    GuardedPages pages_;
    TensorView<float, 3> view_;
};

/// The layer on x, [batch, seq, hidden] without gaps, at these strides between pages that may not be touched.
std::vector<float> run_guarded(const Layer &layer, const std::vector<float> &x,
                               const TensorView<float, 3>::Extents &extents,
                               const TensorView<float, 3>::Extents &strides, bool at_end) {
    const Tensor input(extents, strides, at_end), output(extents, strides, at_end);
    input.for_each([&](std::int64_t i, float &value) { value = x[i]; });
    layer.forward(input.view(), output.view());
    std::vector<float> y(x.size());
    output.for_each([&](std::int64_t i, const float &value) { y[i] = value; });
    return y;
}

void for_each_kernel(void (*check)(const KernelInfo &kernel, const Problem &problem)) {
    for (const KernelInfo &kernel : kernels()) {
        if (runs_by_default(kernel) && kernel.api == "cpu") {
            INFO(kernel.id);
            check(kernel, problem_for(kernel));
        }
    }
}

}  // namespace

TEST_CASE("no kernel touches memory beyond x and y, not even to read", "[memory]") {
    for_each_kernel([](const KernelInfo &kernel, const Problem &problem) {
        const Layer layer(problem.config, make_weights(problem), {kernel.id});
        const std::vector<float> x = make_input(problem), y = run(layer, x, problem.shape);
        const std::int64_t B = problem.shape.batch, T = problem.shape.seq, H = problem.config.hidden;
        for (const bool at_end : {false, true}) {
            CHECK(run_guarded(layer, x, {B, T, H}, {T * H, H, 1}, at_end) == y);
            CHECK(run_guarded(layer, x, {B, T, H}, {T * (H + 3) + 5, H + 3, 1}, at_end) == y);
            CHECK(run_guarded(layer, x, {B, T, H}, {H, B * H, 1}, at_end) == y);
        }
    });
}

TEST_CASE("every kernel is right where elements lie up to 2^31 apart", "[memory]") {
    for_each_kernel([](const KernelInfo &kernel, const Problem &problem) {
        const Layer layer(problem.config, make_weights(problem), {kernel.id});
        const std::vector<float> x = make_input(problem), y = run(layer, x, problem.shape);
        const std::int64_t B = problem.shape.batch, T = problem.shape.seq, H = problem.config.hidden;
        const std::int64_t most = 2147483647;
        CHECK(run_guarded(layer, x, {B, T, H}, {most / B, most / B / T, 1}, true) == y);
        CHECK(run_guarded(layer, x, {B, T, H}, {most / B, H, 1}, true) == y);
        CHECK(run_guarded(layer, x, {B, T, H}, {H, most / T, 1}, true) == y);
    });
}

TEST_CASE("samples may lie further apart than kernels can count to", "[memory]") {
    const Problem problem{{aft_simple, 3, 2, 4, 0}, {2, 4}};
    const Layer layer(problem.config, make_weights(problem), {"", "cpu"});
    const std::vector<float> x = make_input(problem), expected = run(layer, x, problem.shape);
    const std::int64_t distance = std::int64_t{1} << 33;  // in an address space without so much memory
    std::vector<float> y(x.size());
    const GuardedPages pages(distance + 12);
    for (const std::int64_t b : {0, 1}) {
        std::copy_n(x.begin() + b * 12, 12, pages.begin() + b * distance);
    }
    layer.forward({pages.begin(), {2, 4, 3}, {distance, 3, 1}}, {y.data(), {2, 4, 3}});
    CHECK(same_bits(y, expected));
}

TEST_CASE("a call whose intermediate results are beyond 2^31 bytes has the bits of smaller calls", "[memory]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!kernel.usable || kernel.api != "cpu" || kernel.operation != "core" || kernel.layer != aft_given ||
            kernel.schedule != "naive") {
            continue;  // the others keep as much only on some targets
        }
        INFO(kernel.id);
        // The scores of all pairs and channels are 2^31 + 28 million bytes.
        const std::int64_t B = 16'600, n = 64, P = 8, few = 100;
        const Problem problem{{aft_given.without_gate(), 0, P, n}, {few, n}};
        const Core core(problem.config, {}, {kernel.id});
        CallTensors call = make_call(problem);
        std::vector<float> y(B * n * P), expected = run(core, call.core);
        std::vector<float> key(B * n * P), value(B * n * P);
        for (std::int64_t b = 0; b < B; ++b) {
            std::copy_n(call.key.begin() + b % few * n * P, n * P, key.begin() + b * n * P);
            std::copy_n(call.value.begin() + b % few * n * P, n * P, value.begin() + b * n * P);
        }
        call.core.key = {key.data(), {B, n, P}};
        call.core.value = {value.data(), {B, n, P}};
        call.core.sight.position_bias.extents[0] = B;
        core.forward(call.core, {y.data(), {B, n, P}});
        for (std::int64_t b = 0; b < B; b += few) {
            CHECK(std::equal(y.begin() + b * n * P, y.begin() + (b + few) * n * P, expected.begin()));
        }
    }
}

TEST_CASE("a single sequence whose intermediate results are beyond 2^31 bytes fails with what helps", "[memory]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!kernel.usable || kernel.api != "cpu" || kernel.operation != "forward" || kernel.layer != aft_simple ||
            kernel.schedule != "naive") {
            continue;
        }
        INFO(kernel.id);
        const std::int64_t T = 9'000'000, P = 70;
        const Problem problem{{aft_simple, 1, P, T, 0}, {1, 1}};
        const Layer layer(problem.config, make_weights(problem), {kernel.id});
        const Tensor input({1, T, 1}, {T, 1, 1}, true), output({1, T, 1}, {T, 1, 1}, true);
        CHECK_THROWS_AS(layer.forward(input.view(), output.view()), KernelError);
        CHECK_THROWS_WITH(layer.forward(input.view(), output.view()),
                          ContainsSubstring(kernel.id) && ContainsSubstring("exceeds the maximum size of 2147483647") &&
                              EndsWith(", use a shorter sequence"));
    }
}
