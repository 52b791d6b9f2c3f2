#include "algorithms/exp_sources.h"
#include "forms/flat.h"
#include "kernel_generator.h"

namespace aft {

/// The exponentials of sources that are kept for many calls: k, v -> exp_key, exp_value, key_maximum of core's
/// algorithm `kept`.
class SourcesKernel : public KernelGenerator<SourcesKernel> {
public:
    Input<Buffer<float, 3>> k{"k"}, v{"v"};
    Output<Buffer<float, 4>> exp_key{"exp_key"}, exp_value{"exp_value"};  // (lane, row, group of channels, batch)
    Output<Buffer<float, 3>> key_maximum{"key_maximum"};                  // (channel, chunk, batch)

    void generate() {
        CoreInputs in;
        in.sources = k.dim(1).extent();
        in.projected = k.dim(0).extent();
        in.k = k, in.v = v;
        const Halide::Expr all = in.sources;
        in.lengths = Func("length");
        in.lengths(batch) = all;
        in.rounded = rounding(k.dim(1).stride());
        Flat form(1, whole_window);
        ExpSources<Flat> made(form, in);
        key_maximum(channel, chunk, batch) = made.key_maximum(channel, batch, chunk);
        constexpr int lanes = KeptExponentials::lanes;
        const Halide::Tuple columns = made.columns({group * lanes + lane, row, batch});
        exp_value(lane, row, group, batch) = columns[0];
        exp_key(lane, row, group, batch) = columns[1];

        for (int i = 0; i < 3; ++i) {
            k.dim(i).set_min(0);
            v.dim(i).set_min(0).set_extent(k.dim(i).extent());
        }
        for (Output<Buffer<float, 4>> *output : {&exp_key, &exp_value}) {
            output->dim(0).set_bounds(0, lanes);
            output->dim(1).set_bounds(0, in.sources).set_stride(lanes);
            output->dim(2).set_bounds(0, ceil_div(in.projected, lanes));
            output->dim(3).set_bounds(0, k.dim(2).extent());
        }
        key_maximum.dim(0).set_bounds(0, in.projected);
        key_maximum.dim(1).set_bounds(0, SourceChunk::count(in.sources));
        key_maximum.dim(2).set_bounds(0, k.dim(2).extent());
        schedule(made);
    }

private:
    /// The maxima first, one job per chunk of a sample; then the exponentials, one per group of channels.
    void schedule(ExpSources<Flat> &made) {
        const int vector = natural_vector_size<float>();
        constexpr auto guard = Halide::TailStrategy::GuardWithIf;
        const auto in_parallel = [&](Halide::Stage stage, const Halide::Var &channels, const Halide::Var &jobs,
                                     const Halide::Var &samples) {
            stage.vectorize(channels, vector, guard).parallel(jobs).parallel(samples);
        };
        Func maximum = made.key_maximum;
        const std::vector<Halide::Var> of_maximum = maximum.args();  // channel, batch, chunk
        maximum.compute_root();
        maximum.update().reorder(of_maximum[0], made.row, of_maximum[2], of_maximum[1]);
        for (const Halide::Stage &stage : {Halide::Stage(maximum), maximum.update()}) {
            in_parallel(stage, of_maximum[0], of_maximum[2], of_maximum[1]);
        }
        in_parallel(Func(key_maximum), channel, chunk, batch);
        for (Func f : {Func(exp_key), Func(exp_value)}) {
            f.compute_root();
            in_parallel(f, lane, group, batch);
        }
    }

    Halide::Var lane{"lane"}, group{"group"}, channel{"channel"}, row{"row"}, chunk{"chunk"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::SourcesKernel, aft_sources)
