#include <schedules/own.h>

using namespace Halide;

namespace {

/// Products go by tiles: the rows that are one value of the Func times two vectors of channels, whose sums stay in
/// registers along the reduction. Every stage is whole in memory, rows in parallel.
void schedule(const aft::Flat &form, const Func &y, const Target &target) {
    const int vector = target.natural_vector_size<float>();
    constexpr auto guard = TailStrategy::GuardWithIf;
    std::vector<Func> stages = form.stages;
    stages.push_back(y);
    for (Func f : stages) {
        const Var channel = f.args()[0], last = f.args().back();
        if (f.has_update_definition() && f.outputs() == form.rows_at_once) {
            Var panel("panel"), lane("lane");
            Func sums = f.in();
            sums.compute_root().split(channel, panel, lane, 2 * vector, guard).vectorize(lane);
            sums.reorder(lane, f.args()[1], panel, last).parallel(panel).parallel(last);
            f.compute_at(sums, f.args()[1]).vectorize(channel, vector).unroll(channel);
            f.update().reorder(channel, f.rvars()[0]).vectorize(channel, vector).unroll(channel);
        } else {
            f.compute_root().vectorize(channel, vector, guard).parallel(last);
            for (int i = 0; i < f.num_update_definitions(); ++i) {
                f.update(i).vectorize(channel, vector, guard).parallel(last);
            }
        }
    }
}

}  // namespace

aft::OwnSchedule aft::own_schedule() {
    OwnSchedule own;
    own.flat = schedule;
    return own;
}
