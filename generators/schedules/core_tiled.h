#pragma once

#include "../algorithms/means/certified.h"
#include "../algorithms/means/pooled.h"
#include "gpu_tiled.h"

namespace aft {

/// The hand schedule of the weighted mean of sources on GPUs: one thread per channel of a target, or of a chunk of
/// rows.
class CoreTiled : GpuTiled {
public:
    using GpuTiled::GpuTiled;

    void schedule(Core<Panels, Joint> &core, const Halide::Func &y) {
        Joint<Panels> &mean = core.mean;
        per_source(mean.mean, form.row);
        schedule_joint(mean.joint, mean.mean);
        schedule_elements(y);
    }
    void schedule(Core<Panels, Pooled> &core, const Halide::Func &y) {
        Pooled<Panels> &mean = core.mean;
        const Var chunk = mean.chunk_state.args().back();
        mean.chunk_state.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .gpu_blocks(form.block, chunk, form.batch)
            .gpu_threads(form.lane);
        for (Func f : {mean.chunk_maximum, mean.chunk_sums}) {
            f.compute_at(mean.chunk_state, form.lane);
        }
        schedule_merged(mean);
        schedule_elements(y);
    }
    template<typename Mean>
    void schedule(Mean &, const Halide::Func &) {
        _halide_user_error << "tiled doesn't schedule this algorithm\n";
    }

private:
    void schedule_elements(Func y) {
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        y.gpu_tile(channel, row, form.lane, form.row_in_tile, tiles.vector, threads_y, guard).gpu_blocks(batch);
    }
};

}  // namespace aft
