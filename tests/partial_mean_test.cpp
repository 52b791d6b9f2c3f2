#include "c_layer.h"
#include "core_steps.h"
#include "faults.h"
#include "reference/reference.h"
#include "run.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

using namespace aft;
using Catch::Matchers::Message;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(), unwritten = -77;

/// A result in memory with gaps, which stay as they are.
class Spaced {
public:
    explicit Spaced(const std::array<std::int64_t, 3> &extents)
        : extents_(extents), row_(extents[2] + 3), memory_(extents[0] * (extents[1] * row_ + 5), unwritten) {}

    TensorView<float, 3> view() {
        return {memory_.data(), extents_, {extents_[1] * row_ + 5, row_, 1}};
    }
    /// The values, without the gaps. They are `unwritten` in the memory then.
    std::vector<float> take() {
        const auto [B, n, P] = extents_;
        std::vector<float> dense;
        for (std::int64_t row = 0; row < B * n; ++row) {
            float *values = memory_.data() + row / n * view().strides[0] + row % n * row_;
            dense.insert(dense.end(), values, values + P);
            std::fill_n(values, P, unwritten);
        }
        CHECK(std::all_of(memory_.begin(), memory_.end(), [](float value) { return value == unwritten; }));
        return dense;
    }

private:
    std::array<std::int64_t, 3> extents_;
    std::int64_t row_;
    std::vector<float> memory_;
};

struct Partial {
    std::vector<float> mean, log_weight;
};

Partial partial_of(const CoreTraining &training, const Problem &problem, const CoreCall &call) {
    const Weights weights = make_weights(problem);
    Spaced mean(targets_of(problem)), log_weight(targets_of(problem));
    training.partial(parameters_of(problem, weights), call, mean.view(), log_weight.view());
    return {mean.take(), log_weight.take()};
}

/// The kernels that compute the problem when they are named, and one without an id for those of the library's choice.
std::vector<KernelInfo> kernels_of(const Problem &problem) {
    std::vector<KernelInfo> found(1);
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.operation == "core_training" && runs_here(kernel) && serves(kernel, problem)) {
            found.push_back(kernel);
        }
    }
    return found;
}

/// Whether a source is in piece 0 or in piece 1, of pieces that lie apart or among each other.
bool is_in_piece(std::int64_t source, std::int64_t sources, std::int64_t piece, bool interleaved) {
    return (interleaved ? source * 7 % 3 == 0 : source < sources / 3) == (piece == 0);
}

/// The mask of a call without the sources of the other piece, [B, n, m].
std::unique_ptr<bool[]> mask_of_piece(const Problem &problem, const Sight &sight, std::int64_t piece,
                                      bool interleaved) {
    const std::int64_t B = problem.shape.batch, n = problem.shape.seq, m = source_count(problem);
    std::unique_ptr<bool[]> mask(new bool[static_cast<std::size_t>(B * n * m)]);
    const auto &[batch, row, column] = sight.mask.strides;
    for (std::int64_t i = 0; i < B * n * m; ++i) {
        const std::int64_t b = i / (n * m), target = i / m % n, source = i % m;
        const bool sees = !sight.mask.data || sight.mask.data[b * batch + target * row + source * column];
        mask[i] = sees && is_in_piece(source, m, piece, interleaved);
    }
    return mask;
}

/// The log weights are rounded to float32: by so much, relative to each other, the weights of two pieces are off. It
/// moves the mean by no more than this part of the way between the means of the pieces.
double rounding_of_log_weights(const std::array<Partial, 2> &pieces, std::size_t i) {
    double largest = 0, least_mean = infinity, largest_mean = -infinity;
    for (const Partial &piece : pieces) {
        if (piece.log_weight[i] != -infinity) {
            largest = std::max<double>(largest, std::abs(piece.log_weight[i]));
            least_mean = std::min<double>(least_mean, piece.mean[i]);
            largest_mean = std::max<double>(largest_mean, piece.mean[i]);
        }
    }
    const double way = largest_mean > least_mean ? largest_mean - least_mean : 0;
    return std::min(1.0, largest * std::numeric_limits<float>::epsilon()) * way;
}

/// The mean over the pieces, by a call whose samples are the targets and whose sources are the pieces.
std::vector<float> combined(const Problem &problem, const std::array<Partial, 2> &pieces) {
    const auto [B, n, P] = targets_of(problem);
    std::vector<float> keys(B * n * 2 * P), values(keys.size()), y(B * n * P, unwritten);
    for (std::int64_t i = 0; i < B * n; ++i) {
        for (std::int64_t piece = 0; piece < 2; ++piece) {
            const Partial &of = pieces[piece];
            std::copy_n(of.log_weight.data() + i * P, P, keys.data() + (2 * i + piece) * P);
            std::copy_n(of.mean.data() + i * P, P, values.data() + (2 * i + piece) * P);
        }
    }
    const Core core({aft_simple.without_gate(), 0, P, 1}, {}, {"", "cpu"});
    core.forward({{}, {keys.data(), {B * n, 2, P}}, {values.data(), {B * n, 2, P}}, {}}, {y.data(), {B * n, 1, P}});
    return y;
}

/// A small call of `given`, with its results.
struct Tensors {
    static constexpr std::int64_t B = 2, n = 3, m = 4, P = 5;
    std::vector<float> key = std::vector<float>(B * m * P, 0.5f), value = std::vector<float>(B * m * P, 2.0f),
                       bias = std::vector<float>(B * n * m, -1.0f), mean = std::vector<float>(B * n * P, unwritten),
                       log_weight = mean;

    CoreCall call() const {
        CoreCall result;
        result.key = {key.data(), {B, m, P}};
        result.value = {value.data(), {B, m, P}};
        result.sight.position_bias = {bias.data(), {B, n, m}};
        return result;
    }
};

const LayerConfig small_config{aft_given, 0, Tensors::P, 10};

}  // namespace

TEST_CASE("a partial mean and its log weight match the reference, in every form", "[kernels][training]") {
    for (const Problem &problem : quick_problems(training_problems())) {
        INFO(describe(problem));
        const Weights weights = make_weights(problem);
        const CallTensors tensors = make_call(problem);
        LayerConfig config = problem.config;
        config.form = config.form.without_gate();
        const Reference mean = reference_core(config, weights, tensors.core),
                        log_weight = reference_log_weights(config, weights, tensors.core, problem.shape.seq);
        CoreCall call = tensors.core;
        call.query = {};
        for (const KernelInfo &kernel : kernels_of(problem)) {
            INFO("kernel '" << kernel.id << "'");
            const Partial partial = partial_of(CoreTraining(problem.config, {kernel.id}), problem, call);
            CHECK(error_in_tolerances(mean, partial.mean) <= allowed_tolerances(kernel));
            CHECK(error_in_tolerances(log_weight, partial.log_weight) <= allowed_tolerances(kernel));
        }
    }
}

TEST_CASE("the partial means of a partition of the sources combine to the mean of all", "[training]") {
    for (const Problem &problem : quick_problems(training_problems())) {
        INFO(describe(problem));
        const Weights weights = make_weights(problem);
        const CallTensors tensors = make_call(problem);
        LayerConfig config = problem.config;
        config.form = config.form.without_gate();
        const Reference whole = reference_core(config, weights, tensors.core);
        const CoreTraining training(problem.config);
        for (const bool interleaved : {false, true}) {
            std::array<Partial, 2> pieces;
            for (std::int64_t piece = 0; piece < 2; ++piece) {
                const auto mask = mask_of_piece(problem, tensors.core.sight, piece, interleaved);
                CoreCall call = tensors.core;
                call.sight.mask = {mask.get(), {problem.shape.batch, problem.shape.seq, source_count(problem)}};
                pieces[piece] = partial_of(training, problem, call);
            }
            Reference expected = whole;
            for (std::size_t i = 0; i < expected.tolerance.size(); ++i) {
                expected.tolerance[i] += rounding_of_log_weights(pieces, i);
            }
            CHECK(error_in_tolerances(expected, combined(problem, pieces)) <= 1);
        }
    }
}

TEST_CASE("a partial mean in parts has the bits of one call", "[training][parts]") {
    for (const Problem &problem : quick_problems(training_problems())) {
        INFO(describe(problem));
        const CoreTraining training(problem.config);
        const CallTensors call = make_call(problem);
        const Partial whole = partial_of(training, problem, call.core);
        lowest_limit([&] { return partial_of(training, problem, call.core); },
                     [&](const Partial &partial) {
                         CHECK(same_bits(partial.mean, whole.mean));
                         CHECK(same_bits(partial.log_weight, whole.log_weight));
                     });
    }
}

TEST_CASE("a partial mean in C has the bits of the one in C++", "[training][c]") {
    for (const Problem &problem : training_problems()) {
        if (problem.shape.seq > 40) {
            continue;
        }
        INFO(describe(problem));
        const CallTensors tensors = make_call(problem);
        const Partial expected = partial_of(CoreTraining(problem.config), problem, tensors.core);
        const Weights weights = make_weights(problem);
        const aft_config config = c_config(problem.config);
        aft_core_training *training = nullptr;
        REQUIRE(aft_core_training_create(&config, nullptr, &training) == AFT_OK);
        const aft_core_parameters parameters = {sizeof(parameters), parameters_of(problem, weights).position_bias.data};
        const aft_sight sight = c_sight(tensors.core.sight);
        const aft_core_inputs inputs = c_inputs(tensors.core, &sight);
        const std::array<std::int64_t, 3> extents = targets_of(problem);
        Spaced mean(extents), log_weight(extents);
        const TensorView<float, 3> means = mean.view(), logs = log_weight.view();
        CHECK(aft_core_training_partial(training, &parameters, &inputs, extents.data(), means.data,
                                        means.strides.data(), logs.data, logs.strides.data()) == AFT_OK);
        CHECK(same_bits(mean.take(), expected.mean));
        CHECK(same_bits(log_weight.take(), expected.log_weight));
        check_failed(aft_core_training_partial(training, &parameters, &inputs, extents.data(), nullptr, nullptr,
                                               logs.data, nullptr),
                     AFT_ERROR_ARGUMENT, "mean is null");
        check_failed(aft_core_training_partial(training, &parameters, &inputs, extents.data(), means.data, nullptr,
                                               nullptr, nullptr),
                     AFT_ERROR_ARGUMENT, "log_weight is null");
        aft_core_training_destroy(training);
    }
}

TEST_CASE("a partial mean of tensors that don't fit is refused before anything is written", "[training]") {
    constexpr std::int64_t B = Tensors::B, n = Tensors::n, m = Tensors::m, P = Tensors::P;
    const CoreTraining training(small_config);
    Tensors tensors;
    const CoreCall call = tensors.call();
    const TensorView<float, 3> mean(tensors.mean.data(), {B, n, P}), log_weight(tensors.log_weight.data(), {B, n, P});
    const auto refused = [&](const CoreCall &wrong, TensorView<float, 3> means, TensorView<float, 3> logs,
                             const std::string &message) {
        CHECK_THROWS_MATCHES(training.partial({}, wrong, means, logs), ShapeError, Message(message));
    };
    refused(call, mean, {tensors.log_weight.data(), {B, n - 1, P}},
            "log_weight is [2, 2, 5], must be [2, 3, 5] like mean");
    refused(call, mean, {tensors.log_weight.data(), {B, n, P}, {n * P, 2, 1}},
            "log_weight: the row stride is 2, must be at least 5");
    refused(call, mean, {nullptr, {B, n, P}}, "log_weight: data is null");
    refused(call, mean, mean, "log_weight overlaps mean in memory");
    CoreCall wrong = call;
    wrong.value = {tensors.log_weight.data(), {B, m, P}, {0, P, 1}};
    refused(wrong, mean, log_weight, "log_weight overlaps value in memory");
    wrong.value = {tensors.mean.data(), {B, m, P}, {0, P, 1}};
    refused(wrong, mean, log_weight, "mean overlaps value in memory");
    wrong = call;
    wrong.key.extents[1] = m - 1;
    refused(wrong, mean, log_weight, "value is [2, 4, 5], must be [2, 3, 5] like key");
    wrong = call;
    wrong.sight.position_bias = {};
    refused(wrong, mean, log_weight, "position_bias: data is null, must be [2, 3, 4] for layer given");
    CHECK(tensors.mean == std::vector<float>(B * n * P, unwritten));
    CHECK(tensors.log_weight == tensors.mean);
}

TEST_CASE("a partial mean of no source is 0 with no weight, and one of no target writes nothing", "[training]") {
    constexpr std::int64_t B = Tensors::B, n = Tensors::n, P = Tensors::P;
    for (const LayerForm &form : {aft_given, aft_simple}) {
        LayerConfig config = small_config;
        config.form = form;
        const CoreTraining training(config);
        Tensors tensors;
        CoreCall call = tensors.call();
        call.sight = {};
        call.key.extents[1] = call.value.extents[1] = 0;
        training.partial({}, call, {tensors.mean.data(), {B, n, P}}, {tensors.log_weight.data(), {B, n, P}});
        CHECK(tensors.mean == std::vector<float>(B * n * P, 0.0f));
        CHECK(tensors.log_weight == std::vector<float>(B * n * P, -infinity));
        call = tensors.call();
        call.sight = {};
        training.partial({}, call, {nullptr, {B, 0, P}}, {nullptr, {B, 0, P}});
    }
}

TEST_CASE("the second partial mean allocates nothing", "[training]") {
    constexpr std::int64_t B = Tensors::B, n = Tensors::n, P = Tensors::P;
    const CoreTraining training(small_config);
    Tensors tensors;
    const CoreCall call = tensors.call();
    const auto once = [&] {
        training.partial({}, call, {tensors.mean.data(), {B, n, P}}, {tensors.log_weight.data(), {B, n, P}});
    };
    once();
    const std::int64_t before = allocations();
    once();
    CHECK(allocations() == before);
}
