#include "onednn_matmul.h"

#include "bench/shared_library.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace aft::bench {

namespace {

// The C API of oneDNN 3, without its headers: handles are pointers, and the numbers are those of its enums.
class OneDnn {
public:
    using Handle = void *;

    enum Type { bfloat16 = 2, float32 = 3 };
    enum Layout { any = 1, rows = 3 };  // dnnl_format_tag_any, dnnl_ab
    enum Role { source = 1, destination = 17, weights = 33, bias = 41 };

    struct Argument {
        int role;
        Handle memory;
    };

    explicit OneDnn(const std::string &path) : library_({path}) {
        constexpr int of_cpu = 1, in_order = 1;
        call<Handle *, int, std::size_t>("dnnl_engine_create", &engine_, of_cpu, 0);
        call<Handle *, Handle, unsigned>("dnnl_stream_create", &stream_, engine_, in_order);
        library_.find(execute_, "dnnl_primitive_execute");
        library_.find(set_data_, "dnnl_memory_set_data_handle");
    }

    // Matrices of [m, n].
    Handle description(int m, int n, Type type, Layout layout) const {
        const std::array<std::int64_t, 12> extents{m, n};
        return made<int, const std::int64_t *, int, int>("dnnl_memory_desc_create_with_tag", 2, extents.data(), type,
                                                         layout);
    }

    Handle memory(Handle description, const void *data) const {
        return made<Handle, Handle, const void *>("dnnl_memory_create", description, engine_, data);
    }
    Handle own_memory(Handle description) const {
        return memory(description, reinterpret_cast<const void *>(~std::uintptr_t{0}));  // DNNL_MEMORY_ALLOCATE
    }

    // A primitive of a product and how it wants its weights.
    struct Matmul {
        Handle primitive, of_weights;
    };

    Matmul matmul(Handle a, Handle b, Handle c, Handle bias, bool adds) const {
        const Handle attributes = made("dnnl_primitive_attr_create");
        if (adds) {
            constexpr int of_destination = 0;  // dnnl_data_type_undef
            const Handle more = made("dnnl_post_ops_create");
            call<Handle, float, int, int>("dnnl_post_ops_append_sum", more, 1.0f, 0, of_destination);
            call<Handle, Handle>("dnnl_primitive_attr_set_post_ops", attributes, more);
        }
        const Handle plan = made<Handle, Handle, Handle, Handle, Handle, Handle>("dnnl_matmul_primitive_desc_create",
                                                                                 engine_, a, b, bias, c, attributes);
        constexpr int query_weights = 131;
        Handle (*query)(Handle, int, int);
        library_.find(query, "dnnl_primitive_desc_query_md");
        return {primitive(plan), query(plan, query_weights, 0)};
    }

    // The matrix at `data`, copied into the layout of `target`.
    Handle reordered(Handle from, const void *data, Handle target) const {
        const Handle result = own_memory(target);
        const Handle plan = made<Handle, Handle, Handle, Handle, Handle>("dnnl_reorder_primitive_desc_create", from,
                                                                         engine_, target, engine_, nullptr);
        run(primitive(plan), {{source, memory(from, data)}, {destination, result}});
        return result;
    }

    void set_data(Handle memory, const void *data) const {
        check(set_data_(memory, data), "dnnl_memory_set_data_handle");
    }

    void run(Handle primitive, const std::vector<Argument> &arguments) const {
        check(execute_(primitive, stream_, static_cast<int>(arguments.size()), arguments.data()),
              "dnnl_primitive_execute");  // on the CPU, it returns when the result is there
    }

private:
    static void check(int status, const char *name) {
        if (status != 0) {
            throw std::runtime_error(std::string(name) + " failed with status " + std::to_string(status));
        }
    }

    template<typename... Parameters>
    void call(const char *name, Parameters... arguments) const {
        int (*function)(Parameters...);
        library_.find(function, name);
        check(function(arguments...), name);
    }

    // Calls a function of oneDNN that makes an object and writes its handle to the first argument. No object is
    // destroyed: the worker ends with the comparison.
    template<typename... Parameters>
    Handle made(const char *name, Parameters... arguments) const {
        Handle result = nullptr;
        call<Handle *, Parameters...>(name, &result, arguments...);
        return result;
    }

    Handle primitive(Handle plan) const {
        return made<Handle>("dnnl_primitive_create", plan);
    }

    SharedLibrary library_;
    Handle engine_ = nullptr, stream_ = nullptr;
    int (*execute_)(Handle primitive, Handle stream, int count, const Argument *arguments) = nullptr;
    int (*set_data_)(Handle memory, const void *data) = nullptr;
};

}  // namespace

ProductMaker<BFloat16> onednn_matmul_maker(const std::string &path) {
    const auto library = std::make_shared<const OneDnn>(path);
    return [library](const ProductPlan<BFloat16> &plan) -> Product<BFloat16> {
        using Handle = OneDnn::Handle;
        const Handle of_a = library->description(plan.m, plan.k, OneDnn::bfloat16, OneDnn::rows);
        const Handle of_b = library->description(plan.k, plan.n, OneDnn::bfloat16, OneDnn::rows);
        const Handle of_c = library->description(plan.m, plan.n, OneDnn::float32, OneDnn::rows);
        const Handle of_bias = plan.bias ? library->description(1, plan.n, OneDnn::float32, OneDnn::rows) : nullptr;
        const Handle any = library->description(plan.k, plan.n, OneDnn::bfloat16, OneDnn::any);
        const OneDnn::Matmul matmul = library->matmul(of_a, plan.weights ? any : of_b, of_c, of_bias, plan.adds);
        const Handle a = library->memory(of_a, nullptr), c = library->memory(of_c, nullptr);
        const Handle b =
            plan.weights ? library->reordered(of_b, plan.weights, matmul.of_weights) : library->memory(of_b, nullptr);
        std::vector<OneDnn::Argument> arguments = {{OneDnn::source, a}, {OneDnn::weights, b}, {OneDnn::destination, c}};
        if (plan.bias) {
            arguments.push_back({OneDnn::bias, library->memory(of_bias, plan.bias)});
        }
        const bool keeps_b = plan.weights != nullptr;
        return [=, primitive = matmul.primitive](const BFloat16 *at_a, const BFloat16 *at_b, float *at_c) {
            library->set_data(a, at_a);
            if (!keeps_b) {
                library->set_data(b, at_b);
            }
            library->set_data(c, at_c);
            library->run(primitive, arguments);
        };
    };
}

}  // namespace aft::bench
