#pragma once

#include "../algorithms/flat.h"

namespace aft {

/// Every stage whole in memory, its innermost dimension in vectors, its outermost in parallel: the floor of the
/// comparison, and what the autoschedulers start from.
inline void schedule_naive(Flat &form, const Halide::Func &y, int vector) {
    std::vector<Halide::Func> stages = form.stages;
    stages.push_back(y);
    for (Halide::Func &f : stages) {
        f.compute_root().vectorize(f.args()[0], vector, Halide::TailStrategy::GuardWithIf).parallel(f.args().back());
        for (int i = 0; i < f.num_update_definitions(); i++) {
            f.update(i).vectorize(f.args()[0], vector, Halide::TailStrategy::GuardWithIf).parallel(f.args().back());
        }
    }
}

}  // namespace aft
