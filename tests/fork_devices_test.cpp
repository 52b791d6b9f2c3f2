#include "child.h"
#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <memory>
#include <string>
#include <vector>

extern "C" void aft_halide_vulkan_cleanup();  // runtime/halide/halide.h

using namespace aft;

namespace {

const Problem problem{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};

/// The first kernel by hand for the device.
std::string kernel_for(const Device &device) {
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.api == device.api && can_run(kernel, problem)) {
            return kernel.id;
        }
    }
    return "";
}

template<typename F>
bool is_refused(const Device &device, const F &f) {
    try {
        f();
    } catch (const DeviceError &error) {
        return error.what() == device.id + ": a child of fork() can't use the devices of its parent";
    }
    return false;
}

}  // namespace

TEST_CASE("a child of fork() leaves the devices of its parent alone, and runs layers on the CPU", "[fork][devices]") {
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const std::vector<float> on_cpu = run(Layer(problem.config, weights, {"", "cpu"}), x, problem.shape);
    for (const Device &device : devices()) {
        const std::string kernel = device.api == "cpu" || !device.usable ? "" : kernel_for(device);
        if (kernel.empty()) {
            continue;
        }
        INFO(device.id);
        const LayerOptions options{kernel, device.id};
        auto layer = std::make_unique<Layer>(problem.config, weights, options);
        const std::vector<float> y = run(*layer, x, problem.shape);
        CHECK(holds_in_child([&] {
            const bool refused = is_refused(device, [&] { run(*layer, x, problem.shape); }) &&
                                 is_refused(device, [&] { Layer(problem.config, weights, options); });
            layer.reset();
            aft_halide_vulkan_cleanup();  // as exit() does, after what drivers have it do, which may wait for ever
            return refused && run(Layer(problem.config, weights), x, problem.shape) == on_cpu;
        }));
        CHECK(run(*layer, x, problem.shape) == y);
    }
}
