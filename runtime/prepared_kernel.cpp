#include "prepared_kernel.h"

#include "parameters.h"

#include <HalideRuntime.h>
#include <aft/error.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <new>
#include <string_view>
#include <vector>

namespace aft {
namespace {

constexpr halide_type_t float32(halide_type_float, 32);

/// Memory for kernels: aligned for every vector, and vectors may read past the end.
struct VectorAligned {
    static constexpr std::align_val_t alignment{128};
    static constexpr std::size_t past_the_end = 128;

    static void *allocate(std::size_t bytes) {
        return ::operator new(bytes + past_the_end, alignment);
    }
    void operator()(void *memory) const {
        ::operator delete(memory, alignment);
    }
};

/// A buffer argument that owns its dimensions, and its memory where nobody else does.
struct Buffer {
    std::vector<halide_dimension_t> dimensions;
    std::unique_ptr<void, VectorAligned> memory;
    halide_buffer_t header{};

    /// Extents outermost first, dense. A null host makes the call a bounds query, which fills in the dimensions.
    Buffer(halide_type_t type, const std::vector<std::int64_t> &extents, const void *host)
        : dimensions(extents.size()) {
        std::int64_t stride = 1;
        for (std::size_t i = 0; i < extents.size(); i++) {
            const std::int64_t extent = extents[extents.size() - 1 - i];
            dimensions[i] = {0, static_cast<std::int32_t>(extent), static_cast<std::int32_t>(stride)};
            stride *= extent;
        }
        header.type = type;
        header.dimensions = static_cast<std::int32_t>(dimensions.size());
        header.dim = dimensions.data();
        header.host = static_cast<std::uint8_t *>(const_cast<void *>(host));
    }

    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    std::int64_t elements() const {
        std::int64_t product = 1;
        for (const halide_dimension_t &dimension : dimensions) {
            // Kept from overflow: what is past the limit once stays there.
            product = std::min(product, max_elements + 1) * std::max(dimension.extent, 0);
        }
        return product;
    }

    void allocate() {
        memory.reset(VectorAligned::allocate(elements() * header.type.bytes()));
        header.host = static_cast<std::uint8_t *>(memory.get());
    }
};

/// x or y of a call. The stride of a dimension of extent 1 says nothing and may be anything.
template<typename T>
struct CallBuffer {
    std::array<halide_dimension_t, 3> dimensions;
    halide_buffer_t header{};

    explicit CallBuffer(const TensorView<T, 3> &tensor) {
        for (int i = 0; i < 3; i++) {
            const std::int64_t extent = tensor.extents[2 - i], stride = tensor.strides[2 - i];
            dimensions[i] = {0, static_cast<std::int32_t>(extent), static_cast<std::int32_t>(stride)};
            if (extent == 1 && i > 0) {
                dimensions[i].stride = dimensions[i - 1].extent * dimensions[i - 1].stride;
            }
        }
        header.type = float32;
        header.dimensions = 3;
        header.dim = dimensions.data();
        header.host = reinterpret_cast<std::uint8_t *>(const_cast<float *>(tensor.data));
    }
    CallBuffer(const CallBuffer &) = delete;
    CallBuffer &operator=(const CallBuffer &) = delete;
};

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
    std::int32_t window, max_seq_len;
    std::deque<Buffer> buffers;
    std::vector<void *> forward;
    int context, x, y;
};

PreparedKernel::PreparedKernel(const KernelRow &row, const KernelInfo &info, const LayerConfig &config,
                               const Weights &weights)
    : row_(row), info_(info), arguments_(std::make_unique<Arguments>()) {
    const halide_filter_metadata_t &prepare = *row.prepare_metadata(), &forward = *row.forward_metadata();
    Arguments &all = *arguments_;
    all.max_seq_len = static_cast<std::int32_t>(config.max_seq_len);
    all.window = static_cast<std::int32_t>(std::min(config.window, config.max_seq_len));
    all.context = index_of(row.id, forward, "__user_context");
    all.x = index_of(row.id, forward, "x");
    all.y = index_of(row.id, forward, "y");

    ArgumentTable table = {{"__user_context", nullptr}, {"window", &all.window}, {"max_seq_len", &all.max_seq_len}};
    std::deque<Buffer> raw;
    ArgumentTable raw_table;
    for (const Parameter &parameter : parameters(config)) {
        const std::vector<float> &values = weights.*parameter.values;
        if (parameter.optional) {
            Buffer &bias = all.buffers.emplace_back(float32, parameter.extents, nullptr);
            bias.allocate();
            float *copy = static_cast<float *>(bias.memory.get());
            std::fill_n(copy, parameter.size(), 0.0f);
            std::copy(values.begin(), values.end(), copy);
            table[parameter.argument] = &bias.header;
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
    const std::vector<std::int64_t> largest = {info.minimum.batch, config.max_seq_len, config.hidden};
    Buffer x(float32, largest, nullptr), y(float32, largest, nullptr);
    table["x"] = &x.header;
    table["y"] = &y.header;
    all.forward = arguments_of(row.id, forward, table);
    std::vector<void *> query = all.forward;
    call_kernel(row.id, row.forward, query.data(), all.context, nullptr);
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
    std::vector<void *> call = arguments_of(row.id, prepare, table);
    call_kernel(row.id, row.prepare, call.data(), index_of(row.id, prepare, "__user_context"), nullptr);
}

PreparedKernel::~PreparedKernel() = default;

void PreparedKernel::forward(const TensorView<const float, 3> &x, const TensorView<float, 3> &y,
                             ScratchPool &scratch) const {
    CallBuffer x_buffer(x);
    CallBuffer y_buffer(y);
    std::array<void *, 32> arguments;
    std::copy(arguments_->forward.begin(), arguments_->forward.end(), arguments.begin());
    arguments[arguments_->x] = &x_buffer.header;
    arguments[arguments_->y] = &y_buffer.header;
    ScratchPool::Call call(scratch);
    call_kernel(row_.id, row_.forward, arguments.data(), arguments_->context, &call);
}

}  // namespace aft
