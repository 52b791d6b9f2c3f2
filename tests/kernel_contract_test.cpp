#include "devices/cpu_features.h"
#include "halide/halide.h"
#include "halide/halide_runtime.h"
#include "kernels/device.h"
#include "kernels/kernel_table.h"
#include "kernels/kernels.h"
#include "run.h"

#include <aft/error.h>
#include <aft/kernels.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

using namespace aft;

namespace {

/// The arguments of one generated function, called as the runtime calls it, but with extents of the test's choice.
class Arguments {
public:
    Arguments(const char *id, const GeneratedFunction &function, const char *device)
        : id_(id), function_(function.call), metadata_(*function.metadata()), device_(open(device_named(device))) {
        for (int i = 0; i < metadata_.num_arguments; ++i) {
            const halide_filter_argument_t &argument = metadata_.arguments[i];
            Buffer &buffer = buffers_[argument.name];
            buffer.dimensions.resize(argument.dimensions);
            buffer.header.dimensions = argument.dimensions;
            buffer.header.dim = buffer.dimensions.data();
            buffer.header.type = argument.type;
        }
    }

    /// Extents innermost first.
    void shape(const std::string &name, const std::vector<int> &extents) {
        Buffer &buffer = buffers_.at(name);
        int stride = 1;
        for (std::size_t i = 0; i < extents.size(); ++i) {
            buffer.dimensions.at(i) = {0, extents[i], stride};
            stride *= extents[i];
        }
        buffer.allocate(stride);
    }
    void scalar(int value) {
        scalar_ = value;
    }
    bool has(const std::string &name) const {
        return buffers_.count(name) != 0;
    }
    /// Fills in the extents of the buffers that have none, and allocates them.
    void query() {
        call();
        for (auto &[name, buffer] : buffers_) {
            if (!buffer.header.host && buffer.header.dimensions > 0) {
                int elements = 1;
                for (const halide_dimension_t &dimension : buffer.dimensions) {
                    elements *= dimension.extent;
                }
                buffer.allocate(elements);
            }
        }
    }
    void call() {
        std::vector<void *> arguments;
        int context = -1;
        for (int i = 0; i < metadata_.num_arguments; ++i) {
            const halide_filter_argument_t &argument = metadata_.arguments[i];
            if (std::string(argument.name) == "__user_context") {
                context = i;
            }
            const bool is_buffer = argument.kind != halide_argument_kind_input_scalar;
            arguments.push_back(is_buffer ? static_cast<void *>(&buffers_.at(argument.name).header) : &scalar_);
        }
        HalideCall call(device_.get());
        call_kernel(id_, function_, arguments.data(), context, call);
    }
    /// The message of the KernelError that a call throws; empty when it throws none.
    std::string error() {
        try {
            call();
        } catch (const KernelError &error) {
            return error.what();
        }
        return "";
    }
    /// All of a buffer is still NaN, as query() and shape() leave it.
    bool untouched(const std::string &name) const {
        const std::vector<float> &memory = buffers_.at(name).memory;
        return std::all_of(memory.begin(), memory.end(), [](float value) { return std::isnan(value); });
    }

private:
    struct Buffer {
        std::vector<halide_dimension_t> dimensions;
        std::vector<float> memory;
        halide_buffer_t header{};

        void allocate(int elements) {
            memory.assign(elements + 64, std::nanf(""));  // vectors may read past the end
            header.host = reinterpret_cast<std::uint8_t *>(memory.data());
        }
    };

    const char *id_;
    KernelFunction function_;
    const halide_filter_metadata_t &metadata_;
    std::shared_ptr<DeviceContext> device_;
    std::map<std::string, Buffer> buffers_;
    int scalar_ = 0;
};

struct Extents {
    int batch, seq, hidden, projected;
};

Extents extents_of(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    return {static_cast<int>(m.batch) + 1, static_cast<int>(m.seq) + 20, static_cast<int>(m.hidden) + 10,
            static_cast<int>(m.projected) + 7};
}

void shape_forward(Arguments &forward, const Extents &e) {
    forward.shape("x", {e.hidden, e.seq, e.batch});
    forward.shape("y", {e.hidden, e.seq, e.batch});
    forward.shape("bq", {e.projected});
    forward.shape("bv", {e.projected});
    forward.shape("bo", {e.hidden});
    forward.scalar(e.seq);  // window and max_seq_len
}

void shape_prepare(Arguments &prepare, const Extents &e) {
    for (const char *name : {"query_weight", "key_weight", "value_weight"}) {
        prepare.shape(name, {e.hidden, e.projected});
    }
    prepare.shape("project_weight", {e.projected, e.hidden});
    if (prepare.has("position_bias")) {
        prepare.shape("position_bias", {e.seq, e.seq});
    }
    prepare.scalar(e.seq);
}

}  // namespace

TEST_CASE("every kernel requires extents that fit, and writes nothing otherwise", "[kernels]") {
    for (std::size_t i = 0; i < kernels().size(); ++i) {
        if (!runs_by_default(kernels()[i])) {
            continue;
        }
        const KernelRow &row = kernel_rows()[i];
        const Extents e = extents_of(kernels()[i]);
        const std::vector<std::pair<std::string, std::vector<int>>> misfits = {{"y", {e.hidden, e.seq - 1, e.batch}},
                                                                               {"y", {e.hidden - 1, e.seq, e.batch}},
                                                                               {"y", {e.hidden, e.seq, e.batch - 1}},
                                                                               {"bv", {e.projected - 1}},
                                                                               {"bv", {e.projected + 1}},
                                                                               {"bo", {e.hidden - 1}},
                                                                               {"bo", {e.hidden + 1}}};
        for (const auto &[name, extents] : misfits) {
            INFO(row.id << " with another " << name);
            Arguments forward(row.id, row.call, row.api);
            shape_forward(forward, e);
            forward.query();
            forward.shape(name, extents);
            CHECK(forward.error().find(name) != std::string::npos);
            CHECK(forward.untouched("y"));
        }
    }
}

TEST_CASE("no kernel prepares matrices that don't fit each other", "[kernels]") {
    for (std::size_t i = 0; i < kernels().size(); ++i) {
        const KernelRow &row = kernel_rows()[i];
        if (kernels()[i].operation != "forward" || !missing_cpu_features(row.prepare.metadata()->target).empty()) {
            continue;
        }
        const Extents e = extents_of(kernels()[i]);
        std::vector<std::pair<std::string, std::vector<int>>> misfits = {{"key_weight", {e.hidden, e.projected / 2}},
                                                                         {"value_weight", {e.hidden - 1, e.projected}},
                                                                         {"project_weight", {e.hidden, e.projected}}};
        if (kernels()[i].layer->has_bias()) {
            misfits.push_back({"position_bias", {e.seq - 1, e.seq}});
        }
        for (const auto &[name, extents] : misfits) {
            INFO(row.id << " with another " << name);
            Arguments prepare(row.id, row.prepare, "cpu");
            shape_prepare(prepare, e);
            prepare.shape(name, extents);
            // Whatever the layout, a buffer of some extents: the check comes first.
            for (int a = 0; a < row.prepare.metadata()->num_arguments; ++a) {
                const halide_filter_argument_t &argument = row.prepare.metadata()->arguments[a];
                if (argument.kind == halide_argument_kind_output_buffer) {
                    prepare.shape(argument.name, std::vector<int>(argument.dimensions, 1));
                }
            }
            CHECK(prepare.error().find(name) != std::string::npos);
        }
    }
}
