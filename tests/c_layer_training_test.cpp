#include "c_layer.h"
#include "layer_steps.h"
#include "run.h"

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace aft;

namespace {

struct DestroyTraining {
    void operator()(aft_layer_training *training) const {
        aft_layer_training_destroy(training);
    }
};
using CLayerTraining = std::unique_ptr<aft_layer_training, DestroyTraining>;

CLayerTraining c_layer_training(const LayerConfig &config) {
    const aft_config as_c = c_config(config);
    aft_layer_training *result = nullptr;
    REQUIRE(aft_layer_training_create(&as_c, nullptr, &result) == AFT_OK);
    return CLayerTraining(result);
}

LayerStep c_step_of(const Problem &problem, const Weights &weights) {
    const CLayerTraining training = c_layer_training(problem.config);
    LayerStepTensors tensors(problem, weights);
    const LayerCall &call = tensors.call.layer;
    const aft_sight sight = c_sight(call.sight);
    const aft_layer_inputs inputs = c_inputs(call, &sight);
    const aft_parameters parameters = c_parameters(weights);
    const auto [B, n, H] = call.query.extents;
    const std::int64_t extents[] = {B, n, H};
    const LayerGradients &g = tensors.gradients;
    const aft_layer_gradients gradients = {sizeof(gradients),        c_gradient(g.query),   c_gradient(g.key),
                                           c_gradient(g.value),      g.query_weight.data,   g.query_bias.data,
                                           g.key_weight.data,        g.key_bias.data,       g.value_weight.data,
                                           g.value_bias.data,        g.project_weight.data, g.project_bias.data,
                                           c_gradient(g.given_bias), g.position_bias.data};
    std::int64_t saved_size = -1;
    CHECK(aft_layer_training_saved_size(training.get(), &inputs, extents, &saved_size) == AFT_OK);
    tensors.saved.assign(static_cast<std::size_t>(saved_size), not_written);
    CHECK(aft_layer_training_forward(training.get(), &parameters, &inputs, extents, tensors.results.y.data(), nullptr,
                                     tensors.saved.data()) == AFT_OK);
    CHECK(aft_layer_training_backward(training.get(), &parameters, &inputs, extents, tensors.dy.data(), nullptr,
                                      tensors.saved.data(), &gradients) == AFT_OK);
    return tensors.results;
}

}  // namespace

TEST_CASE("a step of a layer in C gives the bits of the one in C++, in every form", "[training][c]") {
    for (const Problem &problem : layer_training_problems()) {
        INFO(describe(problem));
        const Weights weights = make_weights(problem);
        const LayerStep step = c_step_of(problem, weights),
                        expected = step_of(LayerTraining(problem.config), problem, weights);
        CHECK(same_bits(step.y, expected.y));
        REQUIRE(step.gradients.size() == expected.gradients.size());
        for (const auto &[name, values] : step.gradients) {
            INFO(name);
            CHECK(same_bits(values, expected.gradients.at(name)));
        }
    }
    const LayerConfig layer_config{aft_full, 8, 6, 10};
    const CLayerTraining training = c_layer_training(layer_config);
    aft_config config = {};
    config.struct_size = sizeof(config);
    CHECK(aft_layer_training_config(training.get(), &config) == AFT_OK);
    CHECK((config.hidden == 8 && config.projected == 6 && config.max_seq_len == 10));
    std::uint64_t bytes = 1;
    CHECK(aft_layer_training_scratch_bytes(training.get(), &bytes) == AFT_OK);
    CHECK(bytes == 0);
}

TEST_CASE("a null pointer of a step of a layer is refused by its name", "[training][c]") {
    const auto check = [](aft_status status, const std::string &name) {
        check_failed(status, AFT_ERROR_ARGUMENT, name + " is null");
    };
    const Problem problem{{aft_full, 12, 10, 17}, {2, 17}};
    const aft_config config = c_config(problem.config);
    const Weights weights = make_weights(problem);
    const aft_parameters parameters = c_parameters(weights);
    const CLayerTraining made = c_layer_training(problem.config);
    const aft_layer_training *training = made.get();
    aft_layer_training *new_training = nullptr;
    aft_config same_config = config;
    std::uint64_t bytes = 0;
    std::int64_t number = -1;
    const std::int64_t extents[] = {2, 17, 12};
    const std::vector<float> input(2 * 17 * 12), before(8 * 2 * 17 * 12, -77);
    std::vector<float> output = before;
    const float *x = input.data();
    float *y = output.data(), *saved = y + input.size();
    const aft_tensor tensor = {x, {2, 17, 12}, nullptr};
    const aft_layer_inputs inputs = {sizeof(inputs), tensor, {}, {}, nullptr, nullptr};
    const aft_layer_gradients none = {sizeof(none), {},      {},      {},      nullptr, nullptr, nullptr,
                                      nullptr,      nullptr, nullptr, nullptr, nullptr, {},      nullptr};

    check(aft_layer_training_create(nullptr, nullptr, &new_training), "config");
    check(aft_layer_training_create(&config, nullptr, nullptr), "training");
    check(aft_layer_training_saved_size(nullptr, &inputs, extents, &number), "training");
    check(aft_layer_training_saved_size(training, nullptr, extents, &number), "inputs");
    check(aft_layer_training_saved_size(training, &inputs, nullptr, &number), "extents");
    check(aft_layer_training_saved_size(training, &inputs, extents, nullptr), "size");
    check(aft_layer_training_forward(nullptr, &parameters, &inputs, extents, y, nullptr, saved), "training");
    check(aft_layer_training_forward(training, nullptr, &inputs, extents, y, nullptr, saved), "parameters");
    check(aft_layer_training_forward(training, &parameters, nullptr, extents, y, nullptr, saved), "inputs");
    check(aft_layer_training_forward(training, &parameters, &inputs, nullptr, y, nullptr, saved), "extents");
    check(aft_layer_training_forward(training, &parameters, &inputs, extents, nullptr, nullptr, saved), "y");
    check(aft_layer_training_backward(nullptr, &parameters, &inputs, extents, x, nullptr, saved, &none), "training");
    check(aft_layer_training_backward(training, nullptr, &inputs, extents, x, nullptr, saved, &none), "parameters");
    check(aft_layer_training_backward(training, &parameters, nullptr, extents, x, nullptr, saved, &none), "inputs");
    check(aft_layer_training_backward(training, &parameters, &inputs, nullptr, x, nullptr, saved, &none), "extents");
    check(aft_layer_training_backward(training, &parameters, &inputs, extents, nullptr, nullptr, saved, &none), "dy");
    check(aft_layer_training_backward(training, &parameters, &inputs, extents, x, nullptr, saved, nullptr),
          "gradients");
    for (const auto &[member, name] : {std::pair(&aft_parameters::query_weight, "query_weight"),
                                       {&aft_parameters::key_weight, "key_weight"},
                                       {&aft_parameters::value_weight, "value_weight"},
                                       {&aft_parameters::position_bias, "position_bias"}}) {
        aft_parameters wrong = parameters;
        wrong.*member = nullptr;
        check(aft_layer_training_forward(training, &wrong, &inputs, extents, y, nullptr, saved), name);
    }
    check(aft_layer_training_config(training, nullptr), "config");
    check(aft_layer_training_config(nullptr, &same_config), "training");
    check(aft_layer_training_scratch_bytes(nullptr, &bytes), "training");
    check(aft_layer_training_scratch_bytes(training, nullptr), "bytes");
    CHECK((!new_training && number == -1));
    CHECK(output == before);
    aft_layer_training_destroy(nullptr);

    // Extents that nobody could save.
    aft_layer_inputs huge = inputs;
    huge.query.extents[0] = huge.query.extents[1] = std::int64_t{1} << 40;
    CHECK(aft_layer_training_saved_size(training, &huge, extents, &number) == AFT_ERROR_SHAPE);
}
