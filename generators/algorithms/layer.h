#pragma once

#include "element.h"

namespace aft {

/// What the three layers share: the sizes, the input, the prepared projections, the gate.
struct LayerInputs {
    Halide::Expr batch, hidden, seq, projected;  // B, H, T, P
    Halide::Func x;                              // (hidden, seq, batch)
    Halide::Func wq, wk, wv, wo;                 // in the layout of the form
    Halide::Func bq, bv, bo;                     // (channel). bk is missing: exp(bk) cancels in every weighted mean
};

/// exp(v) for v <= 0, however far below. Halide's exp for vectors takes the integer part of v / ln 2 as an int32, which
/// wraps around below -2^31 ln 2; exp(-104) is 0 already.
inline Halide::Expr exp_nonpositive(const Halide::Expr &v) {
    return Halide::exp(Halide::max(v, -104.0f));
}

/// 1 / (1 + exp(-v)), with no exponential that could overflow.
inline Halide::Expr sigmoid(const Halide::Expr &v) {
    const Halide::Expr e = exp_nonpositive(-Halide::abs(v));
    return Halide::select(v >= 0.0f, 1.0f, e) / (1.0f + e);
}

/// The bias of a channel; channels past the last one are padding.
inline Halide::Expr bias_at(const Halide::Func &bias, const Halide::Expr &channels, const Element &e) {
    return bias(Halide::min(e.channel, channels - 1));
}

/// max over the rows of a sequence, per channel and sample.
template<typename Form>
Halide::Func row_maximum(Form &form, const std::string &name, const Values &values, const Halide::RDom &row) {
    Halide::Func maximum = form.stage(name);
    maximum(form.channel_vars()) = lowest();
    maximum(form.channel_vars()) = max(maximum(form.channel_vars()), values(form.source(form.variable(), row)));
    return maximum;
}

/// What the targets take their weighted sums over: exp(K - max K) V and exp(K - max K) of every source row, after
/// `front` rows of zeros and before as many as a reduction reads.
template<typename Form>
struct Sources {
    Halide::RDom key_row;
    Halide::Func key_maximum, exp_key;
    typename Form::Columns columns;

    Sources(Form &form, const Values &key, const Values &value, const Halide::Expr &seq, const Halide::Expr &front)
        : key_row(0, seq, "key_row"), key_maximum(row_maximum(form, "key_maximum", key, key_row)),
          exp_key(form.stage("exp_key")) {
        const Element at = form.variable();
        exp_key(form.source_vars()) = exp_nonpositive(key(at) - key_maximum(form.channel_vars()));
        columns = form.stored_columns("sources", [&](const Element &e) {
            const Halide::Expr source = e.row - front;
            const bool exact_rows = !Form::pads_reductions && is_const_zero(front);
            const Element s = form.source(e, exact_rows ? source : clamp(source, 0, seq - 1));
            const Halide::Expr exp_k = exp_key(form.at_source(s));
            if (exact_rows) {
                return std::vector<Halide::Expr>{exp_k * value(s), exp_k};
            }
            const Halide::Expr inside = source >= 0 && source < seq;
            return std::vector<Halide::Expr>{select(inside, exp_k * value(s), 0.0f), select(inside, exp_k, 0.0f)};
        });
    }
};

}  // namespace aft
