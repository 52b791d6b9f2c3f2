#include "kernels/prepared_kernel.h"

#include "devices/device_tensor.h"
#include "halide/buffer.h"
#include "halide/halide_devices.h"
#include "kernels/registry.h"
#include "weights/parameters.h"

#include <aft/error.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace aft {
namespace {

/// The arguments of a generated function by name. Null for those that differ from call to call.
using ArgumentTable = std::map<std::string_view, void *>;

std::vector<void *> arguments_of(const char *id, const halide_filter_metadata_t &function, const ArgumentTable &table) {
    std::vector<void *> result;
    for (int i = 0; i < function.num_arguments; i++) {
        const auto argument = table.find(function.arguments[i].name);
        if (argument == table.end()) {
            throw KernelError(std::string(id) + ": unknown argument '" + function.arguments[i].name + "' of " +
                              function.name);
        }
        result.push_back(argument->second);
    }
    return result;
}

int index_of(const char *id, const halide_filter_metadata_t &function, std::string_view name) {
    const auto *end = function.arguments + function.num_arguments;
    const auto *found =
        std::find_if(function.arguments, end, [&](const auto &argument) { return argument.name == name; });
    if (found == end) {
        throw KernelError(std::string(id) + ": no argument '" + std::string(name) + "' of " + function.name);
    }
    return static_cast<int>(found - function.arguments);
}

}  // namespace

/// Everything that the arguments of forward point to, except for x and y.
struct PreparedKernel::Arguments {
    const DeviceContext *device;
    std::int32_t window, max_seq_len;
    std::deque<Buffer> buffers = {};
    std::vector<void *> forward = {};
    int context = 0, x = 0, y = 0;

    ~Arguments();

    /// The biases, which no kernel prepares.
    Buffer &add_bias(const Parameter &parameter, const std::vector<float> &values);
    /// Moves the buffers to the device, for good. Waits: calls may run on streams that wouldn't.
    void upload(const char *id);
    /// The arguments of a call.
    std::array<void *, 32> with(halide_buffer_t *x_buffer, halide_buffer_t *y_buffer) const {
        std::array<void *, 32> arguments;
        std::copy(forward.begin(), forward.end(), arguments.begin());
        arguments[x] = x_buffer;
        arguments[y] = y_buffer;
        return arguments;
    }
};

PreparedKernel::Arguments::~Arguments() {
    if (device) {
        const auto turn = device->turn();
        HalideCall call(device);
        for (Buffer &buffer : buffers) {
            halide_device_free(&call, &buffer.header);
        }
    }
}

Buffer &PreparedKernel::Arguments::add_bias(const Parameter &parameter, const std::vector<float> &values) {
    Buffer &bias = buffers.emplace_back(float32, parameter.extents, nullptr);
    bias.allocate();
    float *copy = static_cast<float *>(bias.memory.get());
    std::fill_n(copy, parameter.size(), 0.0f);
    std::copy(values.begin(), values.end(), copy);
    return bias;
}

void PreparedKernel::Arguments::upload(const char *id) {
    const auto turn = device->turn();
    HalideCall call(device);
    for (Buffer &buffer : buffers) {
        buffer.header.set_host_dirty();
        call.check(id, halide_copy_to_device(&call, &buffer.header, device->interface()));
        call.check(id, halide_device_sync(&call, &buffer.header));
        buffer.header.host = nullptr;
        buffer.memory.reset();
    }
}

PreparedKernel::PreparedKernel(const KernelRow &row, const KernelInfo &info, const LayerConfig &config,
                               std::int64_t longest, const Weights &weights, const DeviceContext *device)
    : row_(row), info_(info),
      arguments_(new Arguments{device, static_cast<std::int32_t>(std::min(config.window, config.max_seq_len)),
                               static_cast<std::int32_t>(config.max_seq_len)}) {
    const halide_filter_metadata_t &prepare = *row.prepare_metadata(), &forward = *row.forward_metadata();
    Arguments &all = *arguments_;
    all.context = index_of(row.id, forward, "__user_context");
    all.x = index_of(row.id, forward, "x");
    all.y = index_of(row.id, forward, "y");

    ArgumentTable table = {{"__user_context", nullptr}, {"window", &all.window}, {"max_seq_len", &all.max_seq_len}};
    std::deque<Buffer> raw;
    ArgumentTable raw_table;
    for (const Parameter &parameter : parameters(config)) {
        const std::vector<float> &values = weights.*parameter.values;
        if (parameter.optional) {
            table[parameter.argument] = &all.add_bias(parameter, values).header;
        } else {
            raw_table[parameter.argument] = &raw.emplace_back(float32, parameter.extents, values.data()).header;
        }
    }
    std::map<std::string_view, Buffer *> prepared;
    for (int i = 0; i < prepare.num_arguments; i++) {
        const halide_filter_argument_t &argument = prepare.arguments[i];
        if (argument.kind == halide_argument_kind_output_buffer) {
            const std::vector<std::int64_t> unknown(argument.dimensions, 0);
            Buffer &buffer = all.buffers.emplace_back(argument.type, unknown, nullptr);
            prepared[argument.name] = &buffer;
            table[argument.name] = &buffer.header;
        }
    }

    // What forward reads of the prepared buffers at the longest sequence is what they must hold.
    const std::vector<std::int64_t> largest = {info.minimum.batch, longest, config.hidden};
    Buffer x(float32, largest, nullptr), y(float32, largest, nullptr);
    table["x"] = &x.header;
    table["y"] = &y.header;
    all.forward = arguments_of(row.id, forward, table);
    query_bounds();
    for (auto &[name, buffer] : prepared) {
        if (buffer->elements() > max_elements) {
            throw ShapeError(std::string(row.id) + ": " + std::string(name) + " has more than " +
                             std::to_string(max_elements) + " elements");
        }
        buffer->allocate();
    }

    for (const auto &[name, buffer] : raw_table) {
        table[name] = buffer;
    }
    std::vector<void *> arguments = arguments_of(row.id, prepare, table);
    HalideCall call;
    call_kernel(row.id, row.prepare, arguments.data(), index_of(row.id, prepare, "__user_context"), call);
    if (device) {
        all.upload(row.id);
    }
}

PreparedKernel::~PreparedKernel() = default;

/// A device's kernel is loaded before its bounds are known: one that the device doesn't take fails here.
void PreparedKernel::query_bounds() const {
    std::vector<void *> arguments = arguments_->forward;
    const DeviceContext *device = arguments_->device;
    if (!device) {
        HalideCall call;
        call_kernel(row_.id, row_.forward, arguments.data(), arguments_->context, call);
        return;
    }
    const auto turn = device->turn();
    const auto loading = device->loading(is_autoscheduled(info_));
    HalideCall call(device);
    try {
        call_kernel(row_.id, row_.forward, arguments.data(), arguments_->context, call);
    } catch (const KernelError &error) {
        throw DeviceError(device->device.id + ": " + error.what());
    }
}

void PreparedKernel::forward(const TensorView<const float, 3> &x, const TensorView<float, 3> &y,
                             ScratchPool &scratch) const {
    ScratchPool::Call scratch_call(scratch);
    if (arguments_->device) {
        forward_on_device(x, y, scratch_call);
        return;
    }
    CallBuffer x_buffer(x);
    CallBuffer y_buffer(y);
    std::array<void *, 32> arguments = arguments_->with(&x_buffer.header, &y_buffer.header);
    HalideCall call(&scratch_call);
    call.batch = x.extents[0];
    call_kernel(row_.id, row_.forward, arguments.data(), arguments_->context, call);
}

void PreparedKernel::forward_on_device(const TensorView<const float, 3> &x, const TensorView<float, 3> &y,
                                       ScratchPool::Call &scratch) const {
    const auto turn = arguments_->device->turn();
    HalideCall call(arguments_->device);
    call.batch = x.extents[0];
    DeviceTensor x_tensor(x, call, scratch);
    DeviceTensor y_tensor(y, call, scratch);
    x_tensor.send();
    std::array<void *, 32> arguments = arguments_->with(x_tensor.buffer(), y_tensor.buffer());
    call_kernel(row_.id, row_.forward, arguments.data(), arguments_->context, call);
    y_tensor.fetch(row_.id);
}

void PreparedKernel::forward(const DeviceView<const float, 3> &x, const DeviceView<float, 3> &y, Stream stream) const {
    HalideCall call(arguments_->device, stream);
    call.batch = x.tensor.extents[0];
    CallBuffer x_buffer(x.tensor);
    CallBuffer y_buffer(y.tensor);
    const auto wrap = [&](halide_buffer_t &buffer) {
        const auto address = reinterpret_cast<std::uintptr_t>(std::exchange(buffer.host, nullptr));
        call.check(row_.id, halide_cuda_wrap_device_ptr(&call, &buffer, address));
    };
    wrap(x_buffer.header);
    wrap(y_buffer.header);
    std::array<void *, 32> arguments = arguments_->with(&x_buffer.header, &y_buffer.header);
    call_kernel(row_.id, row_.forward, arguments.data(), arguments_->context, call);
}

}  // namespace aft
