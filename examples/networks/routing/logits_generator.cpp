#include "blocks/generators/activation.h"

namespace routing {

using Halide::Expr;
using Halide::Func;
using Halide::Var;

/// The logits of a step, clip tanh(context . city / sqrt(D) - alpha distance). context (channel, target), cities
/// (city, channel), distances and logits (city, target). cities has more cities than logits, which are read but don't
/// count: a query for its bounds tells how many.
class Logits : public Halide::Generator<Logits> {
public:
    Input<Buffer<float, 2>> context{"context"};
    Input<Buffer<float, 2>> cities{"cities"};
    Input<Buffer<float, 2>> distances{"distances"};
    Input<float> alpha{"alpha"};
    Input<float> clip{"clip"};
    Output<Buffer<float, 2>> logits{"logits"};

    Var city{"city"}, target{"target"};

    void generate() {
        const Expr channels = context.dim(0).extent();
        const Halide::RDom channel(0, channels, "channel");
        Func product("product");
        // The last tile may have more targets than there are.
        const Expr row = Halide::min(target, context.dim(1).max());
        product(city, target) += context(channel, row) * cities(city, channel);
        const Expr scale = 1.0f / Halide::sqrt(Halide::cast<float>(channels));
        const Expr score = product(city, target) * scale - alpha * distances(city, target);
        logits(city, target) = clip * networks::activate(networks::Activation::tanh, score);

        schedule(product, channel, channels * logits.dim(0).extent());
    }

private:
    /// Products go by register tiles: 6 targets times 2 vectors of cities.
    void schedule(Func product, const Halide::RDom &channel, const Expr &products_of_target) {
        constexpr int tile_targets = 6, tile_vectors = 2;
        constexpr int job_products = 1 << 17;  // some 3 us of a core, which waking another one takes, too
        constexpr auto guard = Halide::TailStrategy::GuardWithIf;
        const int vector = get_target().natural_vector_size<float>();
        const Var job("job"), tile("tile"), panel("panel");
        Func out = logits;
        out.split(target, tile, target, tile_targets, guard)
            .split(tile, job, tile, Halide::max(job_products / (tile_targets * products_of_target), 1), guard)
            .split(city, panel, city, tile_vectors * vector, guard)
            .reorder(city, target, panel, tile, job)
            .vectorize(city, vector)
            .parallel(job);
        product.compute_at(out, panel)
            .bound_extent(city, tile_vectors * vector)
            .bound_extent(target, tile_targets)
            .vectorize(city, vector)
            .unroll(city)
            .unroll(target);
        product.update().reorder(city, target, channel).vectorize(city, vector).unroll(city).unroll(target);
    }
};

}  // namespace routing

HALIDE_REGISTER_GENERATOR(routing::Logits, routing_logits)
