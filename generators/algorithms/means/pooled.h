#pragma once

#include "../core.h"
#include "softmax.h"

namespace aft {

/// The mean over the sources of a sample without a bias: the same for every target.
template<typename Form>
struct Pooled : SoftmaxSums<Form> {
    using Element = typename Form::Element;

    Pooled(Form &form, const CoreInputs &in)
        : SoftmaxSums<Form>(
              form, in.sources, [&](const Element &e) { return clean_key(in, e); },
              [&](const Element &e) { return value(in, e); }, [&](const Element &e) { return counts(in, e); }),
          form(form) {}

    Halide::Expr operator()(const Element &target) const {
        return this->mean(form.at_channel(target));
    }

private:
    static Halide::Expr key(const CoreInputs &in, const Element &e) {
        return in.key_at(e.channel, e.row, e.batch);
    }
    static Halide::Expr counts(const CoreInputs &in, const Element &e) {
        return in.counts(e.channel, e.row, e.batch);
    }
    static Halide::Expr clean_key(const CoreInputs &in, const Element &e) {
        return kept_if(!is_nan_bits(key(in, e)), key(in, e));
    }
    /// A key that is a NaN makes the value one, which survives every weight.
    static Halide::Expr value(const CoreInputs &in, const Element &e) {
        const Halide::Expr v = in.value_at(e.channel, e.row, e.batch);
        return kept_if(counts(in, e), kept_if(!is_nan_bits(key(in, e)), v, key(in, e)));
    }

    const Form &form;
};

}  // namespace aft
