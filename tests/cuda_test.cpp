#include "fake_device.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <numeric>
#include <thread>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

const Problem small{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};
const TensorView<float, 3>::Extents extents = {2, 17, 12};
constexpr std::size_t bytes = 2 * 17 * 12 * sizeof(float);

Layer make_layer(const std::string &device = "cuda:0") {
    return Layer(small.config, make_weights(small), {"", device});
}

/// x and y in the memory of a device.
class Tensors {
public:
    explicit Tensors(int device = 0)
        : x(static_cast<float *>(fake().allocate(device, bytes))),
          y(static_cast<float *>(fake().allocate(device, bytes))) {}
    ~Tensors() {
        fake().release(x);
        fake().release(y);
    }
    Tensors(const Tensors &) = delete;
    Tensors &operator=(const Tensors &) = delete;

    void forward(const Layer &layer, Stream stream = nullptr) const {
        layer.forward(DeviceView<const float, 3>{{x, extents}}, DeviceView<float, 3>{{y, extents}}, stream);
    }

    float *const x, *const y;
};

}  // namespace

TEST_CASE("a CUDA device is what layers choose, and they hold its primary context", "[cuda]") {
    const NothingLeft after;
    CHECK(devices().front().id == "cuda:0");
    CHECK(devices().front().usable);
    CHECK(fake().retained == 0);
    CHECK(make_layer("").device().id == "cuda:0");
    CHECK(fake().retained == 1);
    {
        const Layer one = make_layer(), two = make_layer("cuda"), other = make_layer("cuda:1");
        CHECK(fake().retained == 2);
        CHECK(two.device().id == "cuda:0");
        CHECK(other.device().id == "cuda:1");
        CHECK(other.device().name == "fake 1");
    }
}

TEST_CASE("a layer runs on its own device", "[cuda]") {
    const NothingLeft after;
    const Layer zero = make_layer("cuda:0"), one = make_layer("cuda:1");
    for (const Layer *layer : {&zero, &one, &zero}) {
        run(*layer, make_input(small), small.shape);
        CHECK(fake().device == (layer == &zero ? 0 : 1));
    }
}

TEST_CASE("kernels are loaded with the registers that their schedules count on", "[cuda]") {
    const NothingLeft after;
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.api == "cuda" && kernel.operation == "forward") {
            INFO(kernel.id);
            const Problem problem = problem_for(kernel);
            const Layer layer(problem.config, make_weights(problem), {kernel.id});
            CHECK(fake().modules > 0);
            CHECK(fake().max_registers == (kernel.minimum.seq > 1 ? 64 : 168));
        }
    }
}

TEST_CASE("autoscheduled kernels match the reference on the smallest problem that they take", "[cuda]") {
    const NothingLeft after;
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.api == "cuda" && kernel.operation == "forward" && kernel.minimum.seq > 1 &&
            kernel.minimum.seq <= 256) {
            INFO(kernel.id);
            const Problem problem = problem_for(kernel);
            const Weights weights = make_weights(problem);
            const std::vector<float> x = make_input(problem);
            const Layer layer(problem.config, weights, {kernel.id});
            std::vector<std::int64_t> rows(problem.shape.seq);
            std::iota(rows.begin(), rows.end(), 0);
            const Reference reference = reference_forward(problem.config, weights, x, problem.shape, rows);
            CHECK(error_in_tolerances(reference, run(layer, x, problem.shape)) <= 1);
        }
    }
}

TEST_CASE("a call on device views copies nothing, allocates once and runs on the caller's stream", "[cuda]") {
    const NothingLeft after;
    const Tensors tensors;
    const Layer layer = make_layer();
    int stream = 0;
    tensors.forward(layer, &stream);
    CHECK(fake().stream == &stream);
    const int allocations = fake().allocations, copies = fake().copies_in + fake().copies_out;
    const int launches = fake().launches;
    tensors.forward(layer, &stream);
    CHECK(fake().allocations == allocations);
    CHECK(fake().copies_in + fake().copies_out == copies);
    CHECK(fake().launches > launches);
    CHECK_NOTHROW(layer.synchronize());
}

TEST_CASE("device views with nothing in them queue nothing", "[cuda]") {
    const NothingLeft after;
    const Layer layer = make_layer();
    const int launches = fake().launches;
    for (const TensorView<float, 3>::Extents &extents : {TensorView<float, 3>::Extents{0, 17, 12}, {2, 0, 12}}) {
        const DeviceView<const float, 3> x{{nullptr, extents}};
        const DeviceView<float, 3> y{{nullptr, extents}};
        CHECK_NOTHROW(layer.forward(x, y));
        CHECK_THROWS_AS(layer.forward(x, y, reinterpret_cast<Stream>(2)), DeviceError);
    }
    CHECK(fake().launches == launches);
}

TEST_CASE("weights cross once, x and y at every call", "[cuda]") {
    const NothingLeft after;
    const int before = fake().copies_in;
    const Layer layer = make_layer();
    const int weights = fake().copies_in - before;
    CHECK(weights >= 7);  // 4 matrices, 3 biases and what is prepared of the position bias
    CHECK(weights <= 10);
    for (const Padding &padding : {Padding{}, Padding{1, 3, 5}}) {
        const int in = fake().copies_in, out = fake().copies_out;
        run(layer, make_input(small), small.shape, padding);
        CHECK(fake().copies_in - in == 1);
        CHECK(fake().copies_out - out == 1);
    }
    const int allocations = fake().allocations;
    run(layer, make_input(small), small.shape);
    CHECK(fake().allocations == allocations);
}

TEST_CASE("a layer that goes gives its memory back though others stay", "[cuda]") {
    const NothingLeft after;
    const Layer stays = make_layer();
    const int live = fake().live;
    {
        const Layer goes = make_layer();
        run(goes, make_input(small), small.shape);
        CHECK(fake().live > live);
    }
    CHECK(fake().live == live);
    CHECK(fake().modules > 0);
}

TEST_CASE("memory that isn't the device's is refused before anything is queued", "[cuda]") {
    const NothingLeft after;
    const Layer layer = make_layer();
    const Tensors here, there(1);
    std::vector<float> host(2 * 17 * 12);
    const int launches = fake().launches;
    const auto check_refused = [&](const float *x, float *y, const std::string &problem) {
        const DeviceView<const float, 3> from{{x, extents}};
        const DeviceView<float, 3> to{{y, extents}};
        CHECK_THROWS_AS(layer.forward(from, to), DeviceError);
        CHECK_THROWS_WITH(layer.forward(from, to), ContainsSubstring(problem));
    };
    check_refused(host.data(), here.y, "x: ");
    check_refused(host.data(), here.y, "isn't memory of a CUDA device");
    check_refused(here.x, host.data(), "y: ");
    check_refused(here.x, there.y, "is memory of cuda:1, the layer is on cuda:0");
    CHECK_THROWS_AS(here.forward(layer, reinterpret_cast<Stream>(2)), DeviceError);  // cudaStreamPerThread
    CHECK_THROWS_AS(here.forward(make_layer("cpu")), DeviceError);
    const DeviceView<const float, 3> x{{here.x, {2, 21, 12}}};
    CHECK_THROWS_AS(layer.forward(x, DeviceView<float, 3>{{here.y, {2, 21, 12}}}), ShapeError);
    CHECK_THROWS_AS(layer.forward(DeviceView<const float, 3>{{here.x, extents}},
                                  DeviceView<float, 3>{{here.x, extents}}),
                    ShapeError);
    CHECK(fake().launches == launches);
}

TEST_CASE("a device without memory for the weights is passed over, unless it was asked for", "[cuda]") {
    const NothingLeft after;
    int failures = 0;
    for (std::int64_t n = 0;; ++n) {
        std::string chosen;
        {
            const Failing memory(fake().allocations_left, n);
            chosen = make_layer("").device().id;
        }
        CHECK(fake().live == 0);
        if (chosen != "cpu") {
            break;
        }
        ++failures;
        const Failing memory(fake().allocations_left, n);
        CHECK_THROWS_AS(make_layer("cuda:0"), DeviceError);
        CHECK_THROWS_WITH(make_layer("cuda:0"), ContainsSubstring("cuda:0") && ContainsSubstring("OUT_OF_MEMORY"));
    }
    CHECK(failures >= 7);
}

TEST_CASE("a device without a context is passed over, unless it was asked for", "[cuda]") {
    const NothingLeft after;
    const Failing context(fake().retain_result, 2);
    CHECK(make_layer("").device().id == "cpu");
    CHECK_THROWS_AS(make_layer("cuda:1"), DeviceError);
    CHECK_THROWS_WITH(make_layer("cuda:1"), ContainsSubstring("cuda:1") && ContainsSubstring("OUT_OF_MEMORY"));
}

TEST_CASE("whichever allocation of a call fails, nothing leaks and the next call works", "[cuda]") {
    const NothingLeft after;
    int failures = 0;
    for (std::int64_t n = 0;; ++n) {
        const Layer layer = make_layer();
        const int live = fake().live;
        try {
            const Failing memory(fake().allocations_left, n);
            run(layer, make_input(small), small.shape);
            break;
        } catch (const DeviceError &error) {
            ++failures;
            CHECK_THAT(error.what(), ContainsSubstring("OUT_OF_MEMORY"));
            CHECK_THAT(error.what(),
                       StartsWith("cuda:0: aft_full_cuda_") || StartsWith("cuda:0: x: ") || StartsWith("cuda:0: y: "));
        }
        CHECK(fake().live - live <= n);  // what the allocator keeps
        CHECK_NOTHROW(run(layer, make_input(small), small.shape));
    }
    CHECK(failures > 2);
}

TEST_CASE("a kernel that fails and a device that is lost are told apart", "[cuda]") {
    const NothingLeft after;
    const Layer layer = make_layer();
    const Tensors tensors;
    {
        const Failing launch(fake().launch_result, 700);
        CHECK_THROWS_AS(tensors.forward(layer), KernelError);
        CHECK_THROWS_WITH(tensors.forward(layer), ContainsSubstring("aft_full_cuda_"));
        CHECK_THROWS_AS(run(layer, make_input(small), small.shape), KernelError);
    }
    const Failing lost(fake().synchronize_result, 700);
    CHECK_THROWS_AS(layer.synchronize(), DeviceError);
    CHECK_THROWS_WITH(layer.synchronize(), ContainsSubstring("cuda:0") && ContainsSubstring("ILLEGAL_ADDRESS"));
    CHECK_THROWS_AS(make_layer("cuda:0"), DeviceError);
    CHECK(make_layer("").device().id == "cpu");
}

TEST_CASE("threads may share a layer on a device", "[cuda]") {
    const NothingLeft after;
    const Layer layer = make_layer();
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) {
        callers.emplace_back([&, i] {
            const Tensors tensors;
            for (int repeat = 0; repeat < 50; ++repeat) {
                i % 2 == 0 ? tensors.forward(layer, reinterpret_cast<Stream>(std::intptr_t{16} + i))
                           : static_cast<void>(run(layer, make_input(small), small.shape));
            }
        });
    }
    for (std::thread &caller : callers) {
        caller.join();
    }
    CHECK(fake().launches > 0);
}
