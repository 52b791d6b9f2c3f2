#include "c_layer.h"
#include "core_steps.h"
#include "run.h"

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

using namespace aft;

namespace {

struct DestroyTraining {
    void operator()(aft_core_training *training) const {
        aft_core_training_destroy(training);
    }
};
using CCoreTraining = std::unique_ptr<aft_core_training, DestroyTraining>;

CCoreTraining c_core_training(const LayerConfig &config) {
    const aft_config as_c = c_config(config);
    aft_core_training *result = nullptr;
    REQUIRE(aft_core_training_create(&as_c, nullptr, &result) == AFT_OK);
    return CCoreTraining(result);
}

/// The same in C.
Step c_step_of(const Problem &problem) {
    const CCoreTraining training = c_core_training(problem.config);
    const Weights weights = make_weights(problem);
    const aft_core_parameters parameters = {sizeof(parameters), parameters_of(problem, weights).position_bias.data};
    const auto [B, n, P] = targets_of(problem);
    const std::int64_t extents[] = {B, n, P};
    const CallTensors call = make_call(problem);
    const aft_sight sight = c_sight(call.core.sight);
    const aft_core_inputs inputs = c_inputs(call.core, &sight);
    std::int64_t saved_size = -1;
    CHECK(aft_core_training_saved_size(training.get(), B, n, &sight, &saved_size) == AFT_OK);
    StepTensors tensors = tensors_of(problem, saved_size);
    const CoreGradients &wanted = tensors.gradients;
    const aft_core_gradients gradients = {
        sizeof(gradients),        c_gradient(wanted.query),      c_gradient(wanted.key),
        c_gradient(wanted.value), c_gradient(wanted.given_bias), wanted.position_bias.data};
    CHECK(aft_core_training_forward(training.get(), &parameters, &inputs, extents, tensors.results.y.data(), nullptr,
                                    tensors.saved.data()) == AFT_OK);
    CHECK(aft_core_training_backward(training.get(), &parameters, &inputs, extents, tensors.dy.data(), nullptr,
                                     tensors.saved.data(), &gradients) == AFT_OK);
    return tensors.results;
}

}  // namespace

TEST_CASE("a step of training in C gives the bits of the one in C++", "[training][c]") {
    for (const Problem &problem : training_problems()) {
        if (problem.shape.seq <= 40) {
            INFO(describe(problem));
            const Step step = c_step_of(problem), expected = step_of(CoreTraining(problem.config), problem);
            CHECK(same_bits(step.y, expected.y));
            CHECK(same_bits(step.query, expected.query));
            CHECK(same_bits(step.key, expected.key));
            CHECK(same_bits(step.value, expected.value));
            CHECK(same_bits(step.position_bias, expected.position_bias));
        }
    }
    const Problem problem = training_problems()[3];
    const CCoreTraining training = c_core_training(problem.config);
    aft_config config = {};
    config.struct_size = sizeof(config);
    CHECK(aft_core_training_config(training.get(), &config) == AFT_OK);
    CHECK(config.projected == problem.config.projected);
    std::uint64_t bytes = 1;
    CHECK(aft_core_training_scratch_bytes(training.get(), &bytes) == AFT_OK);
    CHECK(bytes == 0);
}

TEST_CASE("a null pointer of a step of training is refused by its name", "[training][c]") {
    const auto check = [](aft_status status, const std::string &name) {
        check_failed(status, AFT_ERROR_ARGUMENT, name + " is null");
    };
    const LayerConfig core_config{aft_given, 0, 12, 17};
    const aft_config config = c_config(core_config);
    const CCoreTraining made = c_core_training(core_config);
    const aft_core_training *training = made.get();
    aft_core_training *new_training = nullptr;
    aft_config same_config = config;
    std::uint64_t bytes = 0;
    std::int64_t number = -1;
    const std::int64_t extents[] = {2, 17, 12};
    const std::vector<float> input(2 * 17 * 12), before(input.size(), -77);
    std::vector<float> output = before;
    const float *x = input.data();
    float *y = output.data();
    const aft_tensor tensor = {x, {2, 17, 12}, nullptr};
    const aft_core_inputs core_inputs = {sizeof(core_inputs), tensor, tensor, tensor, nullptr};
    const aft_core_gradients gradients = {sizeof(gradients), {}, {}, {}, {}, nullptr};

    check(aft_core_training_create(nullptr, nullptr, &new_training), "config");
    check(aft_core_training_create(&config, nullptr, nullptr), "training");
    check(aft_core_training_saved_size(nullptr, 1, 1, nullptr, &number), "training");
    check(aft_core_training_saved_size(training, 1, 1, nullptr, nullptr), "size");
    check(aft_core_training_forward(nullptr, nullptr, &core_inputs, extents, y, nullptr, y), "training");
    check(aft_core_training_forward(training, nullptr, nullptr, extents, y, nullptr, y), "inputs");
    check(aft_core_training_forward(training, nullptr, &core_inputs, nullptr, y, nullptr, y), "extents");
    check(aft_core_training_forward(training, nullptr, &core_inputs, extents, nullptr, nullptr, y), "y");
    check(aft_core_training_backward(nullptr, nullptr, &core_inputs, extents, x, nullptr, x, &gradients), "training");
    check(aft_core_training_backward(training, nullptr, nullptr, extents, x, nullptr, x, &gradients), "inputs");
    check(aft_core_training_backward(training, nullptr, &core_inputs, nullptr, x, nullptr, x, &gradients), "extents");
    check(aft_core_training_backward(training, nullptr, &core_inputs, extents, nullptr, nullptr, x, &gradients), "dy");
    check(aft_core_training_backward(training, nullptr, &core_inputs, extents, x, nullptr, x, nullptr), "gradients");
    check(aft_core_training_config(training, nullptr), "config");
    check(aft_core_training_config(nullptr, &same_config), "training");
    check(aft_core_training_scratch_bytes(nullptr, &bytes), "training");
    check(aft_core_training_scratch_bytes(training, nullptr), "bytes");
    CHECK((!new_training && number == -1));
    CHECK(output == before);
    aft_core_training_destroy(nullptr);
}
