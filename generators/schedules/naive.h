#pragma once

#include "../forms/flat.h"
#include "tiles.h"

namespace aft {

/// The rows of a product that are one value of its Func. 8 sums cover the latency x throughput of a CPU's multiply-adds
/// (4 cycles x 2); on GPUs other threads do. 0 leaves it to the device.
inline int rows_at_once_for(Device device, int requested) {
    return device == Device::cpu ? TileRequest::or_default(requested, 8) : 1;
}

/// Every stage whole in memory, its innermost dimension in vectors, its outermost in parallel: the floor of the
/// comparison, and what the autoschedulers start from.
inline void schedule_naive(const Flat &form, const Halide::Func &y, int vector) {
    std::vector<Halide::Func> stages = form.stages;
    stages.push_back(y);
    for (Halide::Func f : stages) {
        f.compute_root().vectorize(f.args()[0], vector, Halide::TailStrategy::GuardWithIf).parallel(f.args().back());
        for (int i = 0; i < f.num_update_definitions(); ++i) {
            f.update(i).vectorize(f.args()[0], vector, Halide::TailStrategy::GuardWithIf).parallel(f.args().back());
        }
    }
}

/// The same on a GPU: one thread per element, reductions within it.
inline void schedule_naive_on_gpu(const Flat &form, const Halide::Func &y) {
    using namespace Halide;
    std::vector<Func> stages = form.stages;
    stages.push_back(y);
    const auto one_thread_each = [](Stage stage, const std::vector<Var> &vars) {
        const Var others("others"), channel_i("channel_i"), others_i("others_i");
        Var outer = vars[1];
        for (size_t i = 2; i < vars.size(); ++i) {
            stage.fuse(outer, vars[i], others);
            outer = others;
        }
        stage.gpu_tile(vars[0], outer, channel_i, others_i, 32, 8, TailStrategy::GuardWithIf);
    };
    // The dimensions of an update that it doesn't reduce over.
    const auto pure_vars = [](const Func &f, int update) {
        std::vector<Var> vars;
        for (const Expr &arg : f.update_args(update)) {
            const auto *variable = arg.as<Internal::Variable>();
            if (variable && !variable->reduction_domain.defined()) {
                vars.emplace_back(variable->name);
            }
        }
        return vars;
    };
    for (Func f : stages) {
        one_thread_each(f.compute_root(), f.args());
        for (int i = 0; i < f.num_update_definitions(); ++i) {
            one_thread_each(f.update(i), pure_vars(f, i));
        }
    }
}

inline void schedule_naive_on(Device device, const Flat &form, const Halide::Func &y, const Halide::Target &target) {
    if (device == Device::cpu) {
        schedule_naive(form, y, target.natural_vector_size<float>());
    } else {
        schedule_naive_on_gpu(form, y);
    }
}

}  // namespace aft
