#include "kernels/prepared_kernel.h"

#include "halide/buffer.h"
#include "kernels/kernels.h"

#include <aft/error.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace aft {
namespace {

/// The arguments of a generated function by name. Null for those that differ from call to call.
using ArgumentTable = std::map<std::string_view, void *>;

std::vector<void *> arguments_of(const char *id, const halide_filter_metadata_t &function, const ArgumentTable &table) {
    if (function.num_arguments > static_cast<int>(PreparedKernel::max_arguments)) {
        throw KernelError(std::string(id) + ": " + function.name + " has " + std::to_string(function.num_arguments) +
                          " arguments, must be at most " + std::to_string(PreparedKernel::max_arguments));
    }
    std::vector<void *> result;
    for (int i = 0; i < function.num_arguments; ++i) {
        const auto argument = table.find(function.arguments[i].name);
        if (argument == table.end()) {
            throw KernelError(std::string(id) + ": unknown argument '" + function.arguments[i].name + "' of " +
                              function.name);
        }
        result.push_back(argument->second);
    }
    return result;
}

bool has(const halide_filter_metadata_t &function, std::string_view name) {
    return std::any_of(function.arguments, function.arguments + function.num_arguments,
                       [&](const auto &argument) { return argument.name == name; });
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

/// The layout of a prepared buffer. A prepare function makes the same buffer for all kernels that have it.
std::string_view layout_of(const KernelRow &row, std::string_view prepared) {
    std::istringstream weights(row.weights.names);
    for (std::string name; weights >> name;) {
        if (name == prepared) {
            return row.weights.layout;
        }
    }
    return row.prepare.metadata()->name;
}

/// Kernels count elements in 32 bits, and so does Halide the elements between two neighbours of a dimension.
bool is_countable(const Tensor &tensor, std::int64_t most) {
    std::int64_t product = 1;
    for (std::size_t i = 0; i < tensor.rank; ++i) {
        const std::int64_t extent = tensor.extents[i];
        if (extent > 1 && (product > most / extent || tensor.strides[i] > most / extent)) {
            return false;
        }
        product *= extent;
    }
    return true;
}

std::string too_many_elements(const char *id, const Operand &operand, std::int64_t most) {
    std::string extents;
    for (std::size_t i = 0; i < operand.rank; ++i) {
        extents += (i == 0 ? "" : ", ") + std::to_string(operand.extents[i]);
    }
    return std::string(id) + ": " + std::string(operand.name) + " [" + extents + "] spans more than " +
           std::to_string(most) + " elements";
}

}  // namespace

/// Everything that the arguments of a call point to, except for its operands.
struct PreparedKernel::Arguments {
    struct Place {
        std::string_view operand;
        int argument;
    };

    const DeviceContext *device;
    std::vector<std::int32_t> scalars = {};
    std::vector<std::shared_ptr<Buffer>> buffers = {};
    std::vector<void *> call = {};     // null: an operand, or the context
    std::vector<Place> operands = {};  // at most max_operands
    int context = 0;

    ~Arguments();

    /// A tensor that no kernel prepares.
    Buffer &add(const KernelParameters::Values &parameter, SharedBuffers *shared);
    /// Finds the places of the operands in the call.
    void place(const std::vector<Operand> &all, const char *id, const halide_filter_metadata_t &function);
    /// Moves the buffers to the device, for good. Waits: calls may run on streams that don't.
    void upload(const char *id);
};

PreparedKernel::Arguments::~Arguments() {
    if (device) {
        for (const std::shared_ptr<Buffer> &buffer : buffers) {
            device->free(buffer->header);
        }
    }
}

Buffer &PreparedKernel::Arguments::add(const KernelParameters::Values &parameter, SharedBuffers *shared) {
    const auto made = std::make_shared<Buffer>(float32, parameter.extents, nullptr);
    if (shared) {
        if (const std::shared_ptr<Buffer> same = shared->find(parameter.argument, "as it is", *made)) {
            return *buffers.emplace_back(same);
        }
        shared->add(parameter.argument, "as it is", made);
    }
    buffers.push_back(made);
    made->allocate();
    auto *copy = static_cast<float *>(made->memory.get());
    if (parameter.values) {
        std::copy_n(parameter.values, made->elements(), copy);
    } else {
        std::fill_n(copy, made->elements(), 0.0f);
    }
    return *made;
}

void PreparedKernel::Arguments::place(const std::vector<Operand> &all, const char *id,
                                      const halide_filter_metadata_t &function) {
    if (all.size() > max_operands) {
        throw KernelError(std::string(id) + ": " + std::to_string(all.size()) + " operands, must be at most " +
                          std::to_string(max_operands));
    }
    for (const Operand &operand : all) {
        const int argument = index_of(id, function, operand.name);
        operands.push_back({function.arguments[argument].name, argument});
    }
}

void PreparedKernel::Arguments::upload(const char *id) {
    const auto turn = device->turn();
    HalideCall call(device);
    for (const std::shared_ptr<Buffer> &buffer : buffers) {
        buffer->header.set_host_dirty();
        call.check(id, halide_copy_to_device(&call, &buffer->header, device->interface()));
        call.check(id, halide_device_sync(&call, &buffer->header));
        buffer->header.host = nullptr;
        buffer->memory.reset();
    }
}

PreparedKernel::PreparedKernel(const KernelRow &row, const KernelInfo &info, const KernelParameters &parameters,
                               const std::vector<Operand> &largest, const DeviceContext *device, SharedBuffers *shared)
    : row_(row), info_(info), arguments_(new Arguments{device}) {
    const halide_filter_metadata_t *prepare = row.prepare.metadata ? row.prepare.metadata() : nullptr;
    const halide_filter_metadata_t &call = *row.call.metadata();
    Arguments &all = *arguments_;
    all.context = index_of(row.id, call, "__user_context");
    all.place(largest, row.id, call);

    ArgumentTable table = {{"__user_context", nullptr}};
    all.scalars.reserve(parameters.scalars.size());
    for (const KernelParameters::Scalar &scalar : parameters.scalars) {
        table[scalar.argument] = &all.scalars.emplace_back(scalar.value);
    }
    ArgumentTable raw_table = table;
    std::deque<Buffer> raw;
    for (const KernelParameters::Values &parameter : parameters.tensors) {
        if (prepare && has(*prepare, parameter.argument)) {
            raw_table[parameter.argument] = &raw.emplace_back(float32, parameter.extents, parameter.values).header;
        } else if (has(call, parameter.argument)) {
            table[parameter.argument] = &all.add(parameter, shared).header;
        }
    }
    std::vector<std::pair<std::string_view, std::shared_ptr<Buffer>>> prepared;
    for (int i = 0; prepare && i < prepare->num_arguments; ++i) {
        const halide_filter_argument_t &argument = prepare->arguments[i];
        if (argument.kind == halide_argument_kind_output_buffer) {
            const std::vector<std::int64_t> unknown(argument.dimensions, 0);
            prepared.emplace_back(argument.name, std::make_shared<Buffer>(argument.type, unknown, nullptr));
            table[argument.name] = &prepared.back().second->header;
        }
    }

    // The prepared buffers must hold what the largest call reads of them.
    std::deque<Buffer> without_data;
    for (const Operand &operand : largest) {
        if (!is_countable(operand, max_elements)) {
            throw ShapeError(too_many_elements(row.id, operand, max_elements));
        }
        const std::vector<std::int64_t> extents(operand.extents.begin(), operand.extents.begin() + operand.rank);
        table[operand.name] = &without_data.emplace_back(type_of(operand.element), extents, nullptr).header;
    }
    all.call = arguments_of(row.id, call, table);
    query_bounds();
    bool is_prepared = true;
    for (const auto &[name, wanted] : prepared) {
        std::shared_ptr<Buffer> buffer = shared ? shared->find(name, layout_of(row, name), *wanted) : nullptr;
        if (!buffer) {
            is_prepared = false;
            buffer = wanted;
            if (buffer->elements() > max_elements) {
                throw ShapeError(std::string(row.id) + ": " + std::string(name) + " has more than " +
                                 std::to_string(max_elements) + " elements");
            }
            if (shared) {
                shared->add(name, layout_of(row, name), buffer);
            }
            buffer->allocate();
        }
        table[name] = raw_table[name] = &buffer->header;
        all.buffers.push_back(buffer);
    }
    all.call = arguments_of(row.id, call, table);
    for (const Arguments::Place &place : all.operands) {
        all.call[place.argument] = nullptr;
    }
    if (!is_prepared) {  // buffers that another kernel has prepared get the same bytes again
        std::vector<void *> arguments = arguments_of(row.id, *prepare, raw_table);
        HalideCall preparation;
        call_kernel(row.id, row.prepare.call, arguments.data(), index_of(row.id, *prepare, "__user_context"),
                    preparation);
    }
    if (device) {
        all.upload(row.id);
    }
}

PreparedKernel::~PreparedKernel() = default;

/// On a device, this loads the kernel: a kernel that the device doesn't take fails here.
void PreparedKernel::query_bounds() const {
    std::vector<void *> arguments = arguments_->call;
    const DeviceContext *device = arguments_->device;
    if (!device) {
        HalideCall call;
        call_kernel(row_.id, row_.call.call, arguments.data(), arguments_->context, call);
        return;
    }
    const auto turn = device->turn();
    const auto loading = device->loading(is_autoscheduled(info_));
    HalideCall call(device);
    try {
        call_kernel(row_.id, row_.call.call, arguments.data(), arguments_->context, call);
    } catch (const KernelError &error) {
        throw DeviceError(device->device.id + ": " + error.what());
    }
}

void PreparedKernel::call(const Operand *operands, const Operand *end, CallMemory &memory) const {
    const std::vector<Arguments::Place> &places = arguments_->operands;
    if (static_cast<std::size_t>(end - operands) != places.size()) {
        throw KernelError(std::string(row_.id) + ": " + std::to_string(end - operands) + " operands, must be " +
                          std::to_string(places.size()));
    }
    std::array<void *, max_arguments> arguments;
    std::copy(arguments_->call.begin(), arguments_->call.end(), arguments.begin());
    std::array<std::optional<CallBuffer>, max_operands> buffers;
    auto buffer = buffers.begin();
    const std::int64_t most = max_elements_of_call;
    for (const Operand *each = operands; each != end; ++each) {
        const Operand &operand = *each;
        const auto place = std::find_if(places.begin(), places.end(),
                                        [&](const auto &known) { return known.operand == operand.name; });
        if (place == places.end() || arguments[place->argument]) {
            throw KernelError(std::string(row_.id) + ": operand '" + std::string(operand.name) +
                              (place == places.end() ? "' doesn't exist" : "' is given twice"));
        }
        if (!is_countable(operand, most)) {
            throw TooLarge(too_many_elements(row_.id, operand, most));
        }
        arguments[place->argument] = &(buffer++)->emplace(operand).header;
    }
    call_kernel(row_.id, row_.call.call, arguments.data(), arguments_->context, memory.call());
}

}  // namespace aft
