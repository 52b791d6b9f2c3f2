#include "reference/problem.h"
#include "reference/reference.h"
#include "sent.h"

#include <aft/mpi.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::StartsWith;

namespace {

int rank() {
    int result = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &result);
    return result;
}

int ranks() {
    int result = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &result);
    return result;
}

constexpr float unwritten = -77;
const std::vector<LayerForm> shared_forms = {aft_full,        aft_simple,        aft_local,
                                             aft_causal_full, aft_causal_simple, aft_causal_local};

/// A layer whose processes have `rows` rows each.
Problem problem_of(LayerForm form, std::int64_t batch, std::int64_t rows, std::int64_t window) {
    const std::int64_t T = rows * ranks();
    Problem problem{{form, 12, 10, T + 3, form.has_window() ? window : 0}, {batch, T}};
    problem.seed = static_cast<std::uint64_t>(batch + 10 * rows + 100 * (window % 1000));
    return problem;
}

/// The rows of a process, [B, T, channels] -> [B, t, channels].
std::vector<float> own_rows(const std::vector<float> &all, const Problem &problem, std::int64_t channels,
                            int of = rank()) {
    const auto [B, seq] = problem.shape;
    const std::int64_t rows = seq / ranks();
    std::vector<float> result;
    for (std::int64_t b = 0; b < B; ++b) {
        const auto first = all.begin() + (b * seq + of * rows) * channels;
        result.insert(result.end(), first, first + rows * channels);
    }
    return result;
}

/// The right result of a process.
Reference own_reference(const Problem &problem, int of = rank()) {
    const std::int64_t rows = problem.shape.seq / ranks();
    std::vector<std::int64_t> own(rows);
    std::iota(own.begin(), own.end(), of * rows);
    return reference_forward(problem.config, make_weights(problem), make_input(problem), problem.shape, own);
}

/// The weights of a process: with its own rows of the position bias alone.
Weights own_weights(const Problem &problem) {
    Weights weights = make_weights(problem);
    if (problem.config.form.has_positions()) {
        const std::int64_t S = problem.config.max_seq_len, rows = problem.shape.seq / ranks();
        const auto first = weights.position_bias.begin() + rank() * rows * S;
        weights.position_bias = std::vector<float>(first, first + rows * S);
    }
    return weights;
}

void check_result(const Problem &problem, const ShardedLayer &layer) {
    const std::int64_t H = problem.config.hidden, rows = problem.shape.seq / ranks(), B = problem.shape.batch;
    const Reference expected = own_reference(problem);
    const std::vector<float> x = own_rows(make_input(problem), problem, H);
    std::vector<float> y(B * (rows * (H + 2) + 1), unwritten), dense;
    const std::array<std::int64_t, 3> strides = {rows * (H + 2) + 1, H + 2, 1};
    const std::int64_t before = sent_bytes, agreed_before = sent_by_agreements;
    layer.forward({x.data(), {B, rows, H}}, {y.data(), {B, rows, H}, strides});
    CHECK(sent_bytes - before == layer.bytes_sent({B, rows}));
    CHECK(sent_by_agreements - agreed_before == 40);
    for (std::int64_t row = 0; row < B * rows; ++row) {
        float *values = y.data() + row / rows * strides[0] + row % rows * strides[1];
        dense.insert(dense.end(), values, values + H);
        std::fill_n(values, H, unwritten);
    }
    CHECK(error_in_tolerances(expected, dense) <= 1);
    CHECK(std::count(y.begin(), y.end(), unwritten) == static_cast<std::ptrdiff_t>(y.size()));
}

/// With the whole position bias, and with the rows of this process.
void check_result(const Problem &problem) {
    INFO(describe(problem) << " on " << ranks() << " processes");
    check_result(problem, ShardedLayer(problem.config, make_weights(problem), MPI_COMM_WORLD));
    check_result(problem, ShardedLayer(problem.config, own_weights(problem), MPI_COMM_WORLD));
}

/// One process refuses a call. The others get its text.
void check_refused_by(int refusing, const ShardedLayer &layer, const TensorView<const float, 3> &x,
                      const TensorView<float, 3> &y, const std::string &message) {
    if (rank() == refusing) {
        CHECK_THROWS_MATCHES(layer.forward(x, y), ShapeError, Message(message));
    } else {
        CHECK_THROWS_MATCHES(layer.forward(x, y), MpiError,
                             Message("rank " + std::to_string(refusing) + ": " + message));
    }
}

}  // namespace

TEST_CASE("every form and gate gives the rows of the whole layer, and sends what it says") {
    constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
    for (const LayerForm &form : shared_forms) {
        for (const std::int64_t rows : {1, 2, 5, 16, 33}) {
            for (const std::int64_t window :
                 std::initializer_list<std::int64_t>{0, 1, 2, 4, 16, 17, 40, 200, largest}) {
                if (!form.has_window() && window > 0) {
                    continue;
                }
                for (const std::int64_t batch : {1, 3}) {
                    Problem problem = problem_of(form, batch, rows, window);
                    problem.config.form.gate = batch == 1 ? Gate::sigmoid : Gate::none;
                    problem.projects_output = batch == 1;
                    problem.config.hidden = batch == 1 ? 12 : problem.config.projected;
                    check_result(problem);
                }
            }
        }
    }
}

TEST_CASE("a window is right within a process that has many rows") {
    for (const LayerForm &form : {aft_local, aft_causal_local}) {
        for (const std::int64_t rows : {255, 256, 400, 700}) {
            for (const std::int64_t window : {0, 1, 2, 32, 128, 129, 130, 201}) {
                Problem problem = problem_of(form, 1 + window % 2, rows, window);
                problem.config.projected = 3;
                problem.data = rows == 400 ? Data::outliers : Data::normal;
                check_result(problem, ShardedLayer(problem.config, own_weights(problem), MPI_COMM_WORLD));
            }
        }
    }
}

TEST_CASE("keys and biases may be of any size where processes share a sequence") {
    for (const LayerForm &form : shared_forms) {
        for (const Data data : {Data::outliers, Data::mismatched_maxima, Data::unbounded_bias, Data::rising_keys,
                                Data::huge_values, Data::wide_biases}) {
            Problem problem = problem_of(form, 2, 9, 4);
            problem.config.hidden = 3 * problem.config.projected;
            problem.data = data;
            check_result(problem);
        }
    }
}

TEST_CASE("a call without a row, or without a sample, sends nothing") {
    const Problem problem = problem_of(aft_local, 1, 4, 3);
    const ShardedLayer layer(problem.config, make_weights(problem), MPI_COMM_WORLD);
    const std::int64_t before = sent_bytes, H = problem.config.hidden;
    layer.forward({nullptr, {0, 4, H}}, {nullptr, {0, 4, H}});
    layer.forward({nullptr, {2, 0, H}}, {nullptr, {2, 0, H}});
    CHECK(sent_bytes == before);
    CHECK(layer.bytes_sent({0, 4}) == 0);
    CHECK(layer.bytes_sent({2, 0}) == 0);
    CHECK_THROWS_AS(layer.bytes_sent({1, -1}), ShapeError);
}

TEST_CASE("calls that one process refuses fail in all of them, before anything is sent, and the next one succeeds") {
    const Problem problem = problem_of(aft_local, 1, 4, 3);
    const std::int64_t H = problem.config.hidden, S = problem.config.max_seq_len;
    const ShardedLayer layer(problem.config, make_weights(problem), MPI_COMM_WORLD),
        of_own_rows(problem.config, own_weights(problem), MPI_COMM_WORLD);
    const std::vector<float> x(2 * S * H, 1.0f);
    std::vector<float> y(2 * S * H, unwritten);
    const auto input = [&](std::int64_t batch, std::int64_t rows, std::int64_t channels) {
        return TensorView<const float, 3>(x.data(), {batch, rows, channels});
    };
    const auto output = [&](std::int64_t batch, std::int64_t rows, std::int64_t channels) {
        return TensorView<float, 3>(y.data(), {batch, rows, channels});
    };
    const std::int64_t before = sent_bytes;
    for (int refusing = 0; refusing < ranks(); ++refusing) {
        const bool refuses = rank() == refusing;
        check_refused_by(refusing, layer, input(1, 4, refuses ? H + 1 : H), output(1, 4, H),
                         "x: hidden is 13, must be 12");
        check_refused_by(refusing, layer, input(1, 4, H), output(1, refuses ? 3 : 4, H),
                         "y is [1, 3, 12], must be [1, 4, 12] like x");
        check_refused_by(refusing, layer, refuses ? TensorView<const float, 3>(nullptr, {1, 4, H}) : input(1, 4, H),
                         output(1, 4, H), "x: data is null");
        check_refused_by(refusing, layer, refuses ? TensorView<const float, 3>(output(1, 4, H)) : input(1, 4, H),
                         output(1, 4, H), "y overlaps x in memory");
        if (ranks() > 1) {
            const std::int64_t rows = refuses ? 3 : 4, samples = refuses ? 2 : 1;
            CHECK_THROWS_MATCHES(layer.forward(input(1, rows, H), output(1, rows, H)), ShapeError,
                                 Message("seq is 3 in one process and 4 in another, must be the same in all"));
            CHECK_THROWS_MATCHES(layer.forward(input(samples, 4, H), output(samples, 4, H)), ShapeError,
                                 Message("batch is 1 in one process and 2 in another, must be the same in all"));
            CHECK_THROWS_MATCHES(layer.forward(input(1, refuses ? 0 : 4, H), output(1, refuses ? 0 : 4, H)), ShapeError,
                                 Message("seq is 0 in one process and 4 in another, must be the same in all"));
            check_refused_by(refusing, of_own_rows, input(1, rows, H), output(1, rows, H),
                             "x: seq is 3, must be 4, the rows of position_bias");
        }
    }
    const std::int64_t too_many = S / ranks() + 1;
    CHECK_THROWS_MATCHES(layer.forward(input(1, too_many, H), output(1, too_many, H)), Error,
                         MessageMatches(ContainsSubstring("x: seq is " + std::to_string(too_many) + " in each of")));
    CHECK(sent_bytes == before);
    CHECK(std::count(y.begin(), y.end(), unwritten) == static_cast<std::ptrdiff_t>(y.size()));
    check_result(problem, layer);
}

TEST_CASE("a layer that one process can't make, or that differs between processes, is made in none of them") {
    const Problem problem = problem_of(aft_full, 1, 4, 0);
    const Weights weights = make_weights(problem);
    const int last = ranks() - 1;
    const bool is_last = rank() == last;
    const auto check_refused = [&](const LayerConfig &config, const Weights &with, const std::string &message) {
        CHECK_THROWS_MATCHES(ShardedLayer(config, with, MPI_COMM_WORLD), Error,
                             MessageMatches(ContainsSubstring(message)));
    };
    LayerConfig config = problem.config;
    for (const LayerForm &form : {aft_conv, aft_wkv, aft_given}) {
        config.form = is_last ? form : problem.config.form;
        check_refused(config, weights, is_last && form == aft_conv ? "window" : "");
    }
    config = problem.config;
    config.key_hidden = is_last ? 5 : 0;
    check_refused(config, weights, "key_hidden and value_hidden must be hidden, 12");
    config = problem.config;
    Weights wrong = weights;
    if (is_last) {
        wrong.position_bias.pop_back();
    }
    check_refused(config, wrong, "wbias has " + std::to_string(weights.position_bias.size() - 1) + " values");
    wrong = weights;
    wrong.position_bias[0] = is_last ? std::numeric_limits<float>::quiet_NaN() : 0;
    check_refused(config, wrong, "wbias has a value that is neither finite nor -inf");
    wrong = weights;
    wrong.key_weight.resize(is_last ? 3 : wrong.key_weight.size());
    check_refused(config, wrong, "to_k.weight");
    if (ranks() > 1) {
        config.form.gate = is_last ? Gate::tanh : Gate::sigmoid;
        CHECK_THROWS_MATCHES(ShardedLayer(config, weights, MPI_COMM_WORLD), ConfigError,
                             Message("form.gate is 0 in one process and 1 in another, must be the same in all"));
    }
    CHECK_THROWS_MATCHES(ShardedLayer(config, weights, MPI_COMM_NULL), MpiError,
                         Message("the communicator is MPI_COMM_NULL"));
}

TEST_CASE("a function of MPI that fails throws, and the next call succeeds") {
    const Problem problem = problem_of(aft_simple, 1, 4, 0);
    const ShardedLayer layer(problem.config, make_weights(problem), MPI_COMM_WORLD);
    const std::int64_t H = problem.config.hidden;
    const std::vector<float> x(4 * H, 1.0f);
    std::vector<float> y(4 * H);
    for (bool *fails : {&agreements_fail, &gathers_fail}) {
        *fails = true;
        CHECK_THROWS_MATCHES(layer.forward({x.data(), {1, 4, H}}, {y.data(), {1, 4, H}}), MpiError,
                             MessageMatches(StartsWith(fails == &gathers_fail ? "MPI_Allgather failed: "
                                                                              : "MPI_Allreduce failed: ")));
        *fails = false;
    }
    check_result(problem, layer);
}

TEST_CASE("processes share a sequence in the order of their ranks in the communicator") {
    const Problem problem = problem_of(aft_causal_local, 2, 5, 4);
    MPI_Comm reversed = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, 0, -rank(), &reversed);
    const std::vector<float> x = make_input(problem);
    const std::int64_t H = problem.config.hidden;
    const int place = ranks() - 1 - rank();
    const std::vector<float> own_x = own_rows(x, problem, H, place);
    std::vector<float> y(own_x.size());
    {
        const ShardedLayer layer(problem.config, make_weights(problem), reversed);
        layer.forward({own_x.data(), {2, 5, H}}, {y.data(), {2, 5, H}});
        CHECK(layer.config().window == 4);
    }
    CHECK(error_in_tolerances(own_reference(problem, place), y) <= 1);
    MPI_Comm_free(&reversed);
}
