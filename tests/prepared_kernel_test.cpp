#include "devices/cpu_features.h"
#include "faults.h"
#include "halide/buffer.h"
#include "halide/halide.h"
#include "kernels/kernels.h"
#include "kernels/prepared_kernel.h"

#include <aft/error.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <initializer_list>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

// A hand-written kernel in the form of generated ones: prepared is (hidden + 1, planes) of the second query weight, and
// y its last element.
constexpr halide_type_t int32(halide_type_int, 32);
constexpr halide_type_t pointer(halide_type_handle, 64);

halide_filter_argument_t argument(const char *name, halide_argument_kind_t form, int dimensions, halide_type_t type) {
    return {name, form, dimensions, type, nullptr, nullptr, nullptr, nullptr, nullptr};
}

std::vector<halide_filter_argument_t> forward_arguments = {
    argument("__user_context", halide_argument_kind_input_scalar, 0, pointer),
    argument("x", halide_argument_kind_input_buffer, 3, float32),
    argument("prepared", halide_argument_kind_input_buffer, 2, float32),
    argument("max_seq_len", halide_argument_kind_input_scalar, 0, int32),
    argument("y", halide_argument_kind_output_buffer, 3, float32)};
std::vector<halide_filter_argument_t> prepare_arguments = {
    argument("__user_context", halide_argument_kind_input_scalar, 0, pointer),
    argument("query_weight", halide_argument_kind_input_buffer, 2, float32),
    argument("prepared", halide_argument_kind_output_buffer, 2, float32)};

std::string target = "x86-64-linux-no_runtime-user_context";
int forward_error = 0, prepare_error = 0, preparations = 0;
std::int32_t planes = 3;

const halide_filter_metadata_t *metadata(std::vector<halide_filter_argument_t> &arguments, const char *name) {
    static halide_filter_metadata_t forward, prepare;
    halide_filter_metadata_t &result = &arguments == &forward_arguments ? forward : prepare;
    result = {1, static_cast<std::int32_t>(arguments.size()), arguments.data(), target.c_str(), name};
    return &result;
}

halide_buffer_t &buffer(void *argument) {
    return *static_cast<halide_buffer_t *>(argument);
}

int fail(void *user_context, int code) {
    halide_error(user_context, "first\nmessage\n");
    halide_error(user_context, "second message");
    return code;
}

int forward(void **arguments) {
    halide_buffer_t &x = buffer(arguments[1]), &prepared = buffer(arguments[2]), &y = buffer(arguments[4]);
    if (!prepared.host) {
        prepared.dim[0] = {0, x.dim[0].extent + 1, 1};
        prepared.dim[1] = {0, planes, prepared.dim[0].extent};
        return 0;
    }
    if (forward_error) {
        return fail(*static_cast<void **>(arguments[0]), forward_error);
    }
    const std::int32_t last = (x.dim[0].extent + 1) * planes - 1;
    *reinterpret_cast<float *>(y.host) = reinterpret_cast<const float *>(prepared.host)[last];
    return 0;
}

int prepare(void **arguments) {
    if (prepare_error) {
        return fail(*static_cast<void **>(arguments[0]), prepare_error);
    }
    ++preparations;
    const halide_buffer_t &weight = buffer(arguments[1]), &prepared = buffer(arguments[2]);
    std::fill_n(reinterpret_cast<float *>(prepared.host), prepared.dim[0].extent * prepared.dim[1].extent,
                reinterpret_cast<const float *>(weight.host)[1]);
    return 0;
}

KernelRow row() {
    return {"fake",
            "forward",
            aft_simple,
            "softmax",
            "fake",
            "float32",
            "cpu",
            true,
            {},
            {prepare, [] { return metadata(prepare_arguments, "fake_prepare"); }},
            {forward, [] { return metadata(forward_arguments, "fake_forward"); }}};
}

// An operation that the library doesn't have: state += the second query weight times dy, and norm, of one element,
// the sum of the new state.
std::vector<halide_filter_argument_t> step_arguments = {
    argument("dy", halide_argument_kind_input_buffer, 2, float32),
    argument("prepared", halide_argument_kind_input_buffer, 2, float32),
    argument("__user_context", halide_argument_kind_input_scalar, 0, pointer),
    argument("state", halide_argument_kind_output_buffer, 2, float32),
    argument("norm", halide_argument_kind_output_buffer, 1, float32)};

int step(void **arguments) {
    const halide_buffer_t &dy = buffer(arguments[0]), &state = buffer(arguments[3]), &norm = buffer(arguments[4]);
    halide_buffer_t &prepared = buffer(arguments[1]);
    if (!prepared.host) {
        prepared.dim[0] = {0, state.dim[0].extent, 1};
        prepared.dim[1] = {0, 1, prepared.dim[0].extent};
        return 0;
    }
    float sum = 0;
    for (int row = 0; row < state.dim[1].extent; ++row) {
        for (int channel = 0; channel < state.dim[0].extent; ++channel) {
            float &value = reinterpret_cast<float *>(state.host)[row * state.dim[1].stride + channel];
            value += reinterpret_cast<const float *>(prepared.host)[channel] *
                     reinterpret_cast<const float *>(dy.host)[row * dy.dim[1].stride + channel];
            sum += value;
        }
    }
    *reinterpret_cast<float *>(norm.host) = sum;
    return 0;
}

KernelRow step_row() {
    static halide_filter_metadata_t described;
    described = {1, static_cast<std::int32_t>(step_arguments.size()), step_arguments.data(), target.c_str(),
                 "fake_step"};
    KernelRow result = row();
    result.operation = "made_up";
    result.call = {step, [] { return const_cast<const halide_filter_metadata_t *>(&described); }};
    return result;
}

KernelParameters fake_parameters() {
    static const float query_weight[] = {1, 7};
    return {{{"query_weight", query_weight, {1, 2}}, {"unused", query_weight, {2}}}, {{"max_seq_len", 8}}};
}

void call(const PreparedKernel &kernel, std::initializer_list<Operand> operands, ScratchPool &scratch) {
    CallMemory memory(nullptr, scratch);
    kernel.call(operands, memory);
}

/// Makes the kernel and returns y of one element.
float run_fake() {
    const KernelRow fake = row();
    const KernelInfo info = kernel_info(fake);
    const float x[2] = {};
    float y[2] = {};
    const TensorView<const float, 3> x_view(x, {1, 1, 2});
    const TensorView<float, 3> y_view(y, {1, 1, 2});
    const PreparedKernel kernel(fake, info, fake_parameters(), {{"x", x_view}, {"y", y_view}}, nullptr);
    ScratchPool scratch;
    call(kernel, {{"x", x_view}, {"y", y_view}}, scratch);
    return y[0];
}

/// Sets a variable for as long as it lives.
template<typename T>
struct With {
    With(T &variable, T value) : variable(variable), before(variable) {
        variable = std::move(value);
    }
    ~With() {
        variable = before;
    }
    T &variable;
    T before;
};

}  // namespace

TEST_CASE("a kernel gets prepared buffers of the size that it asks for", "[kernel]") {
    CHECK(run_fake() == 7);
}

TEST_CASE("a kernel that fails throws its id and its first message in one line", "[kernel]") {
    {
        const With failing(forward_error, -23);
        CHECK_THROWS_AS(run_fake(), KernelError);
        CHECK_THROWS_WITH(run_fake(), "fake: first message (Halide error -23)");
    }
    {
        const With failing(prepare_error, -4);
        CHECK_THROWS_WITH(run_fake(), "fake: first message (Halide error -4)");
    }
    CHECK(run_fake() == 7);
}

TEST_CASE("a prepared buffer of more elements than kernels can count is refused", "[kernel]") {
    const With huge(planes, 715'827'883);  // 3 of them are 2^31 + 1
    CHECK_THROWS_AS(run_fake(), ShapeError);
    CHECK_THROWS_WITH(run_fake(), "fake: prepared has more than 2147483647 elements");
}

TEST_CASE("kernels share what one function prepares, and weights of the same layout and extents", "[kernel]") {
    const TensorView<float, 3> view(nullptr, {1, 1, 2});
    SharedBuffers all;
    const auto prepares = [&](const KernelRow &fake) {
        const int before = preparations;
        const PreparedKernel kernel(fake, kernel_info(fake), fake_parameters(), {{"x", view}, {"y", view}}, {}, &all);
        return preparations != before;
    };
    KernelRow fake = row();
    for (const char *layout : {"panels of 16", "panels of 32", ""}) {
        CHECK(prepares(fake));
        CHECK(!prepares(fake));
        fake.weights = {*layout ? "other prepared" : "", layout};
    }
    const With larger(planes, std::int32_t{4});
    CHECK(prepares(fake));
}

TEST_CASE("a kernel with arguments that the runtime doesn't know is refused by their name", "[kernel]") {
    std::vector<halide_filter_argument_t> changed = forward_arguments;
    changed[3].name = "temperature";
    {
        const With other(forward_arguments, changed);
        CHECK_THROWS_WITH(run_fake(), "fake: unknown argument 'temperature' of fake_forward");
    }
    changed = prepare_arguments;
    changed[0].name = "other_context";
    const With other(prepare_arguments, changed);
    CHECK_THROWS_AS(run_fake(), KernelError);
}

TEST_CASE("an operation with operands of its own needs no change in what prepares and calls kernels", "[kernel]") {
    const KernelRow fake = step_row();
    const KernelInfo info = kernel_info(fake);
    std::vector<float> dy = {1, 2, 0, 3, 4, 0}, state = {10, 20, 30, 40}, norm = {0};
    const TensorView<const float, 2> dy_view(dy.data(), {2, 2}, {3, 1});
    const TensorView<float, 2> state_view(state.data(), {2, 2});
    const TensorView<float, 1> norm_view(norm.data(), {1});
    const PreparedKernel kernel(fake, info, fake_parameters(),
                                {{"state", state_view}, {"norm", norm_view}, {"dy", dy_view}}, nullptr);
    ScratchPool scratch;
    const auto call = [&](std::initializer_list<Operand> operands) { ::call(kernel, operands, scratch); };
    const std::int64_t before = allocations();
    call({{"dy", dy_view}, {"norm", norm_view}, {"state", state_view}});  // in any order
    CHECK(allocations() == before);
    CHECK(state == std::vector<float>{17, 34, 51, 68});
    CHECK(norm[0] == 170);

    CHECK_THROWS_WITH(call({{"dy", dy_view}, {"norm", norm_view}}), "fake: 2 operands, must be 3");
    CHECK_THROWS_WITH(call({{"dy", dy_view}, {"norm", norm_view}, {"x", dy_view}}), "fake: operand 'x' doesn't exist");
    CHECK_THROWS_WITH(call({{"dy", dy_view}, {"norm", norm_view}, {"dy", dy_view}}),
                      "fake: operand 'dy' is given twice");
    CHECK(norm[0] == 170);
}

TEST_CASE("a kernel with more arguments or operands than a call holds is refused when it is made", "[kernel]") {
    const TensorView<float, 2> view(nullptr, {2, 2});
    const auto make = [&](const KernelRow &fake, const std::vector<Operand> &operands) {
        const PreparedKernel kernel(fake, kernel_info(fake), fake_parameters(), operands, nullptr);
    };
    CHECK_THROWS_WITH(make(step_row(), {{"dy", view}, {"state", view}}), "fake: unknown argument 'norm' of fake_step");
    CHECK_THROWS_WITH(make(step_row(), {{"dy", view}, {"dx", view}}), "fake: no argument 'dx' of fake_step");
    CHECK_THROWS_WITH(make(step_row(), std::vector<Operand>(17, {"dy", view})),
                      "fake: 17 operands, must be at most 16");
    std::vector<halide_filter_argument_t> changed = step_arguments;
    changed.resize(33, step_arguments[0]);
    const With many(step_arguments, changed);
    CHECK_THROWS_WITH(make(step_row(), {{"dy", view}, {"state", view}, {"norm", view}}),
                      "fake: fake_step has 33 arguments, must be at most 32");
}

namespace {

// A kernel that prepares nothing: y = the bytes, counts and scales of the samples times the table, whose channels are
// chosen by a scalar.
std::vector<halide_filter_argument_t> typed_arguments = {
    argument("__user_context", halide_argument_kind_input_scalar, 0, pointer),
    argument("bytes", halide_argument_kind_input_buffer, 2, {halide_type_uint, 8}),
    argument("counts", halide_argument_kind_input_buffer, 1, int32),
    argument("table", halide_argument_kind_input_buffer, 2, float32),
    argument("channel", halide_argument_kind_input_scalar, 0, int32),
    argument("y", halide_argument_kind_output_buffer, 2, float32)};

int typed(void **arguments) {
    const halide_buffer_t &bytes = buffer(arguments[1]), &counts = buffer(arguments[2]), &table = buffer(arguments[3]),
                          &y = buffer(arguments[5]);
    if (!y.host) {
        return 0;
    }
    const std::int32_t channel = *static_cast<std::int32_t *>(arguments[4]);
    for (std::int64_t b = 0; b < y.dim[1].extent; ++b) {
        for (std::int64_t i = 0; i < y.dim[0].extent; ++i) {
            const std::uint8_t byte = bytes.host[b * bytes.dim[1].stride + i * bytes.dim[0].stride];
            const std::int32_t count = reinterpret_cast<const std::int32_t *>(counts.host)[b * counts.dim[0].stride];
            const float factor = reinterpret_cast<const float *>(table.host)[table.dim[1].stride + channel];
            reinterpret_cast<float *>(y.host)[b * y.dim[1].stride + i] = factor * byte + count;
        }
    }
    return 0;
}

KernelRow typed_row() {
    static halide_filter_metadata_t described;
    described = {1, static_cast<std::int32_t>(typed_arguments.size()), typed_arguments.data(), target.c_str(),
                 "fake_typed"};
    KernelRow result = row();
    result.prepare = {};
    result.call = {typed, [] { return const_cast<const halide_filter_metadata_t *>(&described); }};
    return result;
}

}  // namespace

TEST_CASE("operands have bytes, counts and shared elements, and a kernel without preparation keeps plain parameters",
          "[kernel]") {
    const KernelRow fake = typed_row();
    const KernelInfo info = kernel_info(fake);
    const bool bytes[] = {true, false, true};
    const std::int32_t count = 40;
    const float table[] = {1, 2, 3, 4};
    float y[6] = {};
    const TensorView<const bool, 2> shared(bytes, {2, 3}, {0, 1});
    const TensorView<const std::int32_t, 1> counts(&count, {2}, {0});
    const TensorView<float, 2> y_view(y, {2, 3});
    const std::vector<Operand> operands = {{"bytes", shared}, {"counts", counts}, {"y", y_view}};
    const KernelParameters parameters{{{"table", table, {2, 2}}}, {{"channel", 1}}};
    const PreparedKernel kernel(fake, info, parameters, operands, nullptr);
    ScratchPool scratch;
    call(kernel, {{"bytes", shared}, {"counts", counts}, {"y", y_view}}, scratch);
    CHECK(std::vector<float>(y, y + 6) == std::vector<float>{44, 40, 44, 44, 40, 44});
    CHECK_THROWS_WITH(PreparedKernel(fake, info, {{{"table", table, {2, 2}}}, {}}, operands, nullptr),
                      "fake: unknown argument 'channel' of fake_typed");
    const KernelParameters zeros{{{"table", nullptr, {2, 2}}}, {{"channel", 1}}};
    const PreparedKernel without(fake, info, zeros, operands, nullptr);
    call(without, {{"bytes", shared}, {"counts", counts}, {"y", y_view}}, scratch);
    CHECK(std::vector<float>(y, y + 6) == std::vector<float>(6, 40));
}

TEST_CASE("estimates in the metadata are the smallest extents of a kernel", "[kernel]") {
    CHECK(kernel_info(row()).minimum.seq == 1);
    const std::int64_t zero = 0, hidden = 64, seq = 128, batch = 4, projected = 32;
    const std::int64_t *const of_x[] = {&zero, &hidden, &zero, &seq, &zero, &batch};
    const std::int64_t *const of_bq[] = {&zero, &projected};
    halide_scalar_value_t window;
    window.u.i32 = 16;
    std::vector<halide_filter_argument_t> changed = forward_arguments;
    changed[1].buffer_estimates = of_x;
    changed.push_back(argument("bq", halide_argument_kind_input_buffer, 1, float32));
    changed.back().buffer_estimates = of_bq;
    changed.push_back(argument("window", halide_argument_kind_input_scalar, 0, int32));
    changed.back().scalar_estimate = &window;
    const With estimates(forward_arguments, changed);
    const MinimumExtents minimum = kernel_info(row()).minimum;
    CHECK(minimum.hidden == 64);
    CHECK(minimum.seq == 128);
    CHECK(minimum.batch == 4);
    CHECK(minimum.projected == 32);
    CHECK(minimum.window == 16);
}

TEST_CASE("a kernel for a CPU that isn't here is unusable and says why", "[kernel]") {
    CHECK(kernel_info(row()).usable);
    const With other(target, std::string("x86-64-linux-avx-avx1024_zen9-no_runtime-tune_znver9-user_context"));
    const KernelInfo info = kernel_info(row());
    CHECK_FALSE(info.usable);
    CHECK_THAT(info.reason, ContainsSubstring("avx1024_zen9"));
    CHECK(info.target == target);
}

TEST_CASE("the words of a target are those of the CPU's features", "[kernel]") {
#ifdef __riscv
    CHECK(missing_cpu_features("riscv-64-linux-vector_bits_64") ==
          "vector_bits_64");  // shorter than any that there are
    CHECK(missing_cpu_features("riscv-64-linux-vector_bits_65536") == "vector_bits_65536");
#else
    CHECK(missing_cpu_features("x86-64-linux-user_context-no_runtime-vector_bits_256").empty());
#endif
#ifdef __aarch64__
    CHECK(missing_cpu_features("x86-64-linux-sse41-avx2") == "sse41, avx2");
#else
    CHECK(missing_cpu_features("arm-64-linux-arm_dot_prod-sve2") == "arm_dot_prod, sve2");
#endif
    CHECK(missing_cpu_features("x86-64-linux-cuda-cuda_capability_80-opencl-vulkan-vk_v13-vk_int8").empty());
    CHECK(missing_cpu_features("x86-64-linux-metal") == "metal");
}

TEST_CASE("elements of a buffer that was empty are apart", "[kernel]") {
    Buffer buffer(float32, {3, 5, 0}, nullptr);
    CHECK(buffer.elements() == 0);
    buffer.allocate();
    CHECK(buffer.elements() == 15);
    CHECK(buffer.dimensions[0].stride == 1);
    CHECK(buffer.dimensions[1].stride == 1);
    CHECK(buffer.dimensions[2].stride == 5);
}
