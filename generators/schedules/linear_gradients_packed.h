#pragma once

#include "../algorithms/gradients/linear.h"
#include "packed_products.h"

namespace aft {

/// The hand schedule of projections in training on the CPU.
class LinearTrainingPacked : public PackedProducts {
public:
    using PackedProducts::PackedProducts;
    using PackedProducts::schedule;

    /// The weight is packed first; then as a projection whose weight was.
    void schedule(Linear<Panels> &linear, const Func &packed, const Func &y, const LinearInputs &in) {
        Func(packed)
            .compute_root()
            .bound(form.lane, 0, tiles.width)
            .vectorize(form.lane, tiles.vector)
            .parallel(form.block);
        schedule(linear, y, in);
    }

    /// The operands are packed first. A job makes a row block of outputs.
    void schedule(LinearGradients<Panels> &gradients, const Func &dw, const Func &db, const LinearGradientInputs &in) {
        gradients.left.func.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .bound(form.block, 0, form.padded_blocks(in.steps()))
            .reorder_storage(form.row_in_tile, form.lane, form.block, form.tile, form.batch)
            .reorder(form.row_in_tile, form.tile, form.lane, form.block)
            .vectorize(form.row_in_tile)
            .parallel(form.block)
            .parallel(form.batch);
        const Var steps("steps");
        Func(gradients.right.func)
            .compute_root()
            .bound(form.lane, 0, tiles.width)
            .bound(form.row, 0, form.padded(in.steps()))
            .split(form.row, steps, form.row, gradients.chunk, guard)
            .reorder(form.lane, form.block, form.row, steps, form.batch)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .parallel(steps)
            .parallel(form.batch);
        schedule_output(dw, gradients.product, JobsOf::row_tiles,
                        tiles_per_block(in.outputs, in.inputs, in.steps(), 1));

        const Var output = db.args()[0], chunk = gradients.chunk_sum.args()[1];
        gradients.chunk_sum.compute_root().vectorize(output, tiles.vector).parallel(chunk);
        gradients.chunk_sum.update()
            .reorder(output, gradients.row)
            .vectorize(output, tiles.vector, guard)
            .parallel(chunk);
        Func(db).vectorize(output, tiles.vector, guard).update().vectorize(output, tiles.vector, guard);
    }
};

}  // namespace aft
