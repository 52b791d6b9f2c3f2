#include "c_layer.h"
#include "ptx/fake_cuda.h"

#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <dlfcn.h>
#include <string>

using namespace aft;

namespace {

const Problem small{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};
constexpr std::int64_t extents[] = {2, 17, 12};

/// The driver, which must not be a real one.
FakeCuda &fake() {
    devices();
    auto *find = reinterpret_cast<FakeCuda &(*)()>(dlsym(RTLD_DEFAULT, "fake_cuda"));
    REQUIRE(find);
    return find();
}

}  // namespace

TEST_CASE("a layer in C takes memory of a CUDA device on a stream, and its failures have a status", "[c][cuda]") {
    const std::vector<float> input = make_input(small);
    const std::size_t bytes = input.size() * sizeof(float);
    const aft_layer_options options = {sizeof(options), nullptr, "cuda:0", nullptr};
    std::vector<float> expected(input.size()), result(input.size());
    auto *x = static_cast<float *>(fake().allocate(0, bytes)), *y = static_cast<float *>(fake().allocate(0, bytes));
    std::memcpy(x, input.data(), bytes);
    {
        const CLayer layer = c_layer(small, &options);
        CHECK(aft_layer_forward(layer.get(), extents, input.data(), nullptr, expected.data(), nullptr) == AFT_OK);
        int stream = 0;
        CHECK(aft_layer_forward_cuda(layer.get(), extents, x, nullptr, y, nullptr, &stream) == AFT_OK);
        CHECK(fake().stream == &stream);
        CHECK(aft_layer_synchronize(layer.get()) == AFT_OK);
        std::memcpy(result.data(), y, bytes);
        CHECK(result == expected);
        const aft_device_info *device = nullptr;
        CHECK(aft_layer_device(layer.get(), &device) == AFT_OK);
        CHECK(std::string(device->id) == "cuda:0");

        CHECK(aft_layer_forward_cuda(layer.get(), extents, input.data(), nullptr, y, nullptr, nullptr) ==
              AFT_ERROR_DEVICE);
        CHECK(std::string(aft_last_error()).find("x: ") == 0);
        fake().launch_result = 700;
        CHECK(aft_layer_forward_cuda(layer.get(), extents, x, nullptr, y, nullptr, nullptr) == AFT_ERROR_KERNEL);
        CHECK(std::string(aft_last_error()).find("aft_full_cuda_") == 0);
        fake().launch_result = 0;
        fake().synchronize_result = 700;
        CHECK(aft_layer_synchronize(layer.get()) == AFT_ERROR_DEVICE);
        CHECK(std::string(aft_last_error()).find("cuda:0") == 0);
        fake().synchronize_result = 0;
    }
    fake().release(x);
    fake().release(y);
    CHECK(fake().live == 0);
}
