#include "halide/buffer.h"
#include "halide/halide.h"
#include "kernels/prepared_kernel.h"
#include "kernels/registry.h"

#include <aft/error.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

// A hand-written kernel in the form of generated ones: prepared is (hidden + 1, planes) of the second query weight, and
// y its last element.
constexpr halide_type_t int32(halide_type_int, 32);
constexpr halide_type_t pointer(halide_type_handle, 64);

halide_filter_argument_t argument(const char *name, halide_argument_kind_t kind, int dimensions, halide_type_t type) {
    return {name, kind, dimensions, type, nullptr, nullptr, nullptr, nullptr, nullptr};
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
int forward_error = 0, prepare_error = 0;
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
    const halide_buffer_t &weight = buffer(arguments[1]), &prepared = buffer(arguments[2]);
    std::fill_n(reinterpret_cast<float *>(prepared.host), prepared.dim[0].extent * prepared.dim[1].extent,
                reinterpret_cast<const float *>(weight.host)[1]);
    return 0;
}

KernelRow row() {
    return {"fake",  aft_simple,
            "cpu",   "fake",
            true,    {},
            prepare, [] { return metadata(prepare_arguments, "fake_prepare"); },
            forward, [] { return metadata(forward_arguments, "fake_forward"); }};
}

/// Makes the kernel and returns y of one element.
float run_fake() {
    const KernelRow fake = row();
    const KernelInfo info = kernel_info(fake);
    const LayerConfig config{aft_simple, 2, 1, 8, 0};
    Weights weights;
    weights.query_weight = {1, 7};
    weights.key_weight = weights.value_weight = weights.project_weight = {0, 0};
    const PreparedKernel kernel(fake, info, config, config.max_seq_len, weights, nullptr);
    const float x[2] = {};
    float y[2] = {};
    ScratchPool scratch;
    kernel.forward({x, {1, 1, 2}}, {y, {1, 1, 2}}, scratch);
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
    CHECK(missing_cpu_features("x86-64-linux-user_context-no_runtime-vector_bits_256") == "");
#endif
#ifdef __aarch64__
    CHECK(missing_cpu_features("x86-64-linux-sse41-avx2") == "sse41, avx2");
#else
    CHECK(missing_cpu_features("arm-64-linux-arm_dot_prod-sve2") == "arm_dot_prod, sve2");
#endif
    CHECK(missing_cpu_features("x86-64-linux-cuda-cuda_capability_80-opencl-vulkan-vk_v13") == "");
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
