#include <Halide.h>

namespace {

class Pipeline : public Halide::Generator<Pipeline> {
public:
    Input<Buffer<float, 2>> in{"in"};
    Output<Buffer<float, 2>> out{"out"};

    void generate() {
        twice(x, y) = in(x, y) * 2.0f;
        out(x, y) = twice(x, y) + twice(x, y + 1);
    }
    void schedule() {
        twice.compute_root().parallel(y);  // in memory of halide_malloc()
        out.parallel(y);
    }

private:
    Halide::Var x{"x"}, y{"y"};
    Halide::Func twice{"twice"};
};

}  // namespace

HALIDE_REGISTER_GENERATOR(Pipeline, pipeline)
