// Uses a layer and Halide pipelines of its own, which keep their handlers and their user context.
//
// usage: program first|last|meanwhile: when the pipelines run, seen from the first call of the layer
#include "plain.h"
#include "with_context.h"

#include <HalideBuffer.h>
#include <aft/aft.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Image = Halide::Runtime::Buffer<float, 2>;

/// The user context of this program points to it, and to nothing of aft's.
struct Context {
    char text[64] = "the program's own";
    std::atomic<int> mallocs{0}, loops{0}, errors{0};
};

/// Without a user context.
Context process;
std::atomic<int> mallocs{0}, frees{0};

Context &of(void *user_context) {
    return user_context ? *static_cast<Context *>(user_context) : process;
}

void *on_malloc(void *user_context, std::size_t bytes) {
    ++mallocs;
    ++of(user_context).mallocs;
    return std::aligned_alloc(128, (bytes + 255) / 128 * 128);
}

void on_free(void *, void *memory) {
    frees += memory != nullptr;
    std::free(memory);
}

void on_error(void *user_context, const char *) {
    ++of(user_context).errors;
}

int on_loop(void *user_context, halide_task_t task, int first, int count, std::uint8_t *closure) {
    ++of(user_context).loops;
    return halide_default_do_par_for(user_context, task, first, count, closure);
}

void require(bool condition, const char *what) {
    if (!condition) {
        std::printf("not so: %s\n", what);
        std::exit(1);
    }
}

void run_layer() {
    const aft::LayerConfig config{aft::aft_full, /*hidden=*/64, /*projected=*/64, /*max_seq_len=*/100};
    aft::Weights weights;
    weights.query_weight = weights.key_weight = weights.value_weight = weights.project_weight =
        std::vector<float>(64 * 64, 0.01f);
    weights.position_bias = std::vector<float>(100 * 100, 0.5f);
    const aft::Layer layer(config, weights);
    const std::vector<float> x(100 * 64, 1.0f);
    std::vector<float> y(x.size());
    layer.forward({x.data(), {1, 100, 64}}, {y.data(), {1, 100, 64}});
    // As in the example: v = q = 0.64 in every channel, of which 64 are summed with weight 0.01.
    require(std::abs(y[0] - 0.64f * 0.64f / (1 + std::exp(-0.64f))) < 1e-5f, "the layer's result is right");
}

void run_pipeline(Context *context, int size) {
    Image in(size, size + 1), out(size, size);
    in.fill(1.0f);
    require((context ? with_context(context, in, out) : plain(in, out)) == 0, "the pipeline succeeds");
    require(out(3, 3) == 4.0f && out(size - 1, size - 1) == 4.0f, "the pipeline's result is right");
}

/// Each pipeline right and with an input that is too small.
void run_pipelines() {
    Context mine;
    process.mallocs = process.loops = process.errors = 0;
    for (Context *context : {&process, &mine}) {
        Context *const given = context == &process ? nullptr : context;
        run_pipeline(given, 64);
        Image small(64, 10), out(64, 64);
        small.fill(1.0f);
        require((given ? with_context(given, small, out) : plain(small, out)) != 0, "a small input is refused");
        require(context->mallocs >= 1, "the program's allocator is used");
        require(context->loops >= 2, "the program's loops are used");
        require(context->errors == 1, "the program's error handler is called");
        require(std::strcmp(context->text, "the program's own") == 0, "the context is as it was");
    }
}

void run_layer_unnoticed() {
    const int before = mallocs;
    run_layer();
    require(mallocs == before, "the layer doesn't use the program's allocator");
}

}  // namespace

int main(int argc, char **argv) {
    halide_set_error_handler(on_error);
    halide_set_custom_malloc(on_malloc);
    halide_set_custom_free(on_free);
    halide_set_custom_do_par_for(on_loop);
    const std::string_view order = argc == 2 ? argv[1] : "";
    if (order == "first" || order == "last") {
        if (order == "first") {
            run_pipelines();
        }
        run_layer_unnoticed();
        run_pipelines();
        run_layer_unnoticed();
        run_pipelines();
    } else {
        require(order == "meanwhile", "the argument is first, last or meanwhile");
        std::atomic<bool> stop{false};
        std::atomic<int> runs{0};
        std::thread other([&] {
            for (Context mine; !stop; ++runs) {
                run_pipeline(runs % 2 ? &mine : nullptr, 512);
            }
        });
        while (runs < 3) {
            std::this_thread::yield();
        }
        run_layer();
        for (const int now = runs; runs < now + 5;) {
            std::this_thread::yield();
        }
        stop = true;
        other.join();
    }
    require(mallocs == frees, "the program's allocator gets back what it gave");
}
