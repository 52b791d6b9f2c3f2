#include "kernel_generator.h"

#include "algorithms/means/certified.h"
#include "schedules/core_packed.h"

namespace aft {

/// The weighted mean of sources without projections: q, k, v and what a target sees of the sources -> y.
class CoreGenerator : public KernelGenerator<CoreGenerator> {
public:
    Input<Buffer<float, 3>> q{"q"}, k{"k"}, v{"v"};
    Input<Buffer<float, 3>> bias{"bias"};
    Input<Buffer<float, 1>> bias_scale{"bias_scale"};
    Input<Buffer<uint8_t, 3>> mask{"mask"};
    Input<Buffer<int32_t, 1>> sources{"sources"}, offset{"offset"};
    Input<int32_t> gate{"gate"};
    Output<Buffer<float, 3>> y{"y"};

    void generate() {
        CoreInputs in;
        in.projected = y.dim(0).extent();
        in.targets = y.dim(1).extent();
        in.batch = y.dim(2).extent();
        in.sources = k.dim(1).extent();
        in.q = q, in.k = k, in.v = v, in.bias = bias, in.bias_scale = bias_scale, in.mask = mask;
        in.lengths = sources, in.offset = offset;
        in.gate = gate;
        for (int i = 0; i < 3; ++i) {
            q.dim(i).set_min(0);
            k.dim(i).set_min(0);
            v.dim(i).set_min(0);
            y.dim(i).set_min(0);
            bias.dim(i).set_min(0);
            mask.dim(i).set_min(0);
        }
        for (auto *per_sample : {&sources, &offset}) {
            per_sample->dim(0).set_min(0).set_stride(Expr());
        }
        bias_scale.dim(0).set_min(0).set_stride(Expr());
        Panels form(tiles_for(device, get_target(), tile_request()), bfloat16, whole_window);
        Core<Panels, Certified> core(form, in);
        y(channel, row, batch) = core.gated(form.at(channel, row, batch));
        CorePacked(form, knobs_for(form.tiles, tile_request())).schedule(core, y, in);
    }

private:
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::CoreGenerator, aft_core)
