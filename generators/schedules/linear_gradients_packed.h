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
        if (form.kept == Kept::pairs) {
            Func(packed).bound(form.odd, 0, 2).vectorize(form.odd);
        }
        schedule(linear, y, in);
    }

    /// The operands are packed first. A job makes a row block of outputs.
    void schedule(LinearGradients<Panels> &gradients, const Func &dw, const Func &db, const LinearGradientInputs &in) {
        const bool in_pairs = form.kept == Kept::pairs;
        schedule_transposed(gradients.left);
        gradients.left.func.compute_root()
            .bound(form.block, 0, form.padded_blocks(in.steps()))
            .parallel(form.block)
            .parallel(form.batch);
        const int steps_of_row = in_pairs ? 2 : 1;
        const Var steps("steps"), row = in_pairs ? form.pair : form.row;
        Func(gradients.right.func)
            .compute_root()
            .bound(form.lane, 0, tiles.width)
            .bound(row, 0, form.padded(in.steps()) / steps_of_row)
            .split(row, steps, row, gradients.chunk / steps_of_row, guard)
            .reorder(form.lane, form.block, row, steps, form.batch)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .parallel(steps)
            .parallel(form.batch);
        if (in_pairs) {
            schedule_pairs(gradients.right.func, gradients.right.unpaired, tiles.width, form.block);
        }
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
