#include "reference/forms.h"
#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>

using namespace aft;

namespace {

/// A kernel, forced, on the problem of its own.
struct Case {
    Problem problem;
    Layer layer;
    std::vector<float> x;
    std::int64_t sample_size;

    /// Some samples of the input, in this order.
    std::vector<float> samples(const std::vector<std::int64_t> &which) const {
        std::vector<float> some;
        for (const std::int64_t b : which) {
            some.insert(some.end(), x.begin() + b * sample_size, x.begin() + (b + 1) * sample_size);
        }
        return some;
    }

    std::vector<float> run(const std::vector<float> &input) const {
        const auto batch = static_cast<std::int64_t>(input.size()) / sample_size;
        return aft::run(layer, input, {batch, problem.shape.seq});
    }
};

void for_each_kernel(const std::function<void(const KernelInfo &, Case &)> &check) {
    for (const KernelInfo &kernel : kernels()) {
        if (!runs_by_default(kernel)) {
            continue;
        }
        INFO(kernel.id);
        const Problem problem = problem_for(kernel);
        Case of{problem, Layer(problem.config, make_weights(problem), {kernel.id}), make_input(problem),
                problem.shape.seq * problem.config.hidden};
        check(kernel, of);
    }
}

/// `count` floats from a[i] and b[j] on are the same bit by bit.
bool same_bits(const std::vector<float> &a, std::int64_t i, const std::vector<float> &b, std::int64_t j,
               std::int64_t count) {
    return std::memcmp(&a[i], &b[j], count * sizeof(float)) == 0;
}

/// A kernel of a projection, a mean or a scan on uneven extents of 3 samples, with all that a call may have.
Problem call_problem(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    const LayerForm form = kernel.layer ? *kernel.layer : LayerForm{PositionBias::none, Reach::all, Gate::tanh};
    const std::int64_t n = std::max<std::int64_t>(m.seq, 70) + 1;
    const std::int64_t P = std::max({m.projected, m.hidden, std::int64_t(45)});
    LayerConfig config{form, kernel.operation == "linear" ? P + 8 : 0, P, n};
    config.window = form.has_window() ? std::max<std::int64_t>(m.window, 9) : 0;
    config.heads = form.has_heads() ? P % 3 == 0 ? 3 : 1 : 1;
    Problem problem{config, {m.batch + 2, n}};
    problem.has_lengths = kernel.operation != "linear";
    problem.bias_per_sample = form.takes_bias();
    return problem;
}

template<std::size_t Rank, typename T>
TensorView<T, Rank> from_sample(TensorView<T, Rank> view, std::int64_t first, std::int64_t count) {
    view.data = view.data ? view.data + first * view.strides[0] : nullptr;
    view.extents[0] = count;
    return view;
}

/// Some neighbouring samples of the problem.
std::vector<float> run_call(const Problem &problem, const KernelInfo &kernel, std::int64_t first, std::int64_t count) {
    const CallTensors tensors = make_call(problem);
    const Weights weights = make_weights(problem);
    if (problem.config.hidden != 0) {
        LayerCall call = tensors.layer;
        call.query = from_sample(call.query, first, count);
        return run(Layer(problem.config, weights, {kernel.id}), call);
    }
    CoreCall call = tensors.core;
    call.query = from_sample(call.query, first, count);
    call.key = from_sample(call.key, first, count);
    call.value = from_sample(call.value, first, count);
    call.sight.position_bias = from_sample(call.sight.position_bias, first, count);
    call.sight.lengths = from_sample(call.sight.lengths, first, count);
    return run(Core(problem.config, weights, {kernel.id}), call);
}

void for_each_call_kernel(const std::function<void(const KernelInfo &, const Problem &)> &check) {
    for (const KernelInfo &kernel : kernels()) {
        const bool is_quick = kernel.minimum.seq <= 256 || std::getenv("AFT_LONG_TESTS");
        if (kernel.operation != "forward" && can_be_named(kernel) && runs_here(kernel) && is_quick) {
            INFO(kernel.id);
            check(kernel, call_problem(kernel));
        }
    }
}

}  // namespace

TEST_CASE("a kernel gives the same bits on 1, 2 and 4 threads", "[determinism]") {
    for_each_kernel([](const KernelInfo &, Case &of) {
        const auto on_threads = [&of](int threads) {
            const ThreadCount during(threads);
            return of.run(of.x);
        };
        const std::vector<float> y = on_threads(1);
        const std::int64_t size = static_cast<std::int64_t>(y.size());
        for (const int threads : {2, 4, 2, 4, 2, 4, 2, 4}) {  // a race may need some tries to show
            const std::vector<float> again = on_threads(threads);
            CHECK(same_bits(again, 0, y, 0, size));
        }
    });
}

TEST_CASE("a kernel gives a sample the same bits alone and in a batch", "[determinism]") {
    for_each_kernel([](const KernelInfo &kernel, Case &of) {
        const std::vector<float> all = of.run(of.x);
        // The fewest samples that the kernel takes at a time, from the last one backwards.
        const std::int64_t B = of.problem.shape.batch;
        std::vector<std::int64_t> few;
        for (std::int64_t i = 0; i < kernel.minimum.batch; ++i) {
            few.push_back(B - 1 - i);
        }
        const std::vector<float> y = of.run(of.samples(few));
        for (std::size_t i = 0; i < few.size(); ++i) {
            CHECK(same_bits(y, i * of.sample_size, all, few[i] * of.sample_size, of.sample_size));
        }
    });
}

TEST_CASE("what isn't finite in a sample stays in it", "[determinism]") {
    for_each_kernel([](const KernelInfo &, Case &of) {
        const std::vector<float> before = of.run(of.x);
        std::vector<float> x = of.x;
        const auto sample_1 = x.begin() + of.sample_size;
        sample_1[of.sample_size / 3] = std::numeric_limits<float>::quiet_NaN();
        sample_1[of.sample_size / 2] = std::numeric_limits<float>::infinity();
        sample_1[of.sample_size - 1] = -std::numeric_limits<float>::infinity();
        const std::vector<float> y = of.run(x);
        for (std::int64_t b = 0; b < of.problem.shape.batch; ++b) {
            CHECK((b == 1 || same_bits(y, b * of.sample_size, before, b * of.sample_size, of.sample_size)));
        }
    });
}

TEST_CASE("a kernel of a projection, a mean or a scan gives the same bits on 1, 2 and 4 threads", "[determinism]") {
    for_each_call_kernel([](const KernelInfo &kernel, const Problem &problem) {
        const auto on_threads = [&](int threads) {
            const ThreadCount during(threads);
            return run_call(problem, kernel, 0, problem.shape.batch);
        };
        const std::vector<float> y = on_threads(1);
        for (const int threads : {2, 4, 2, 4, 2, 4}) {
            CHECK(same_bits(on_threads(threads), 0, y, 0, static_cast<std::int64_t>(y.size())));
        }
    });
}

TEST_CASE("a kernel of a projection, a mean or a scan gives a sample the same bits alone and in a batch",
          "[determinism]") {
    for_each_call_kernel([](const KernelInfo &kernel, const Problem &problem) {
        const std::vector<float> all = run_call(problem, kernel, 0, problem.shape.batch);
        const std::int64_t size = static_cast<std::int64_t>(all.size()) / problem.shape.batch;
        const std::int64_t few = kernel.minimum.batch;
        for (std::int64_t first = 0; first + few <= problem.shape.batch; ++first) {
            CHECK(same_bits(run_call(problem, kernel, first, few), 0, all, first * size, few * size));
        }
    });
}
