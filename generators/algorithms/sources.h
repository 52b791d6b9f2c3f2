#pragma once

#include "layer.h"

namespace aft {

/// The right operands of a weighted sum: exp(K - max K) V and exp(K - max K) of every source row, after `front` rows of
/// zeros and before as many as a reduction reads. The maximum of the channel cancels in the mean.
template<typename Form>
struct Sources {
    using Element = typename Form::Element;

    Halide::RDom key_row;
    Halide::Func key_maximum, exp_key;
    typename Form::Columns columns;

    Sources(Form &form, const KeyValue<Form> &key_value, const Halide::Expr &seq, const Halide::Expr &front)
        : key_row(0, seq, "key_row"), key_maximum(form.stage("key_maximum")), exp_key(form.stage("exp_key")) {
        using namespace Halide;
        const Element source = form.variable();
        const auto channel = form.channel_vars();
        key_maximum(channel) = lowest();
        key_maximum(channel) = max(key_maximum(channel), key_value.key(form.row_of(source, key_row)));
        exp_key(form.source_vars()) = exp_nonpositive(key_value.key(source) - key_maximum(channel));
        columns = form.stored_columns("sources", [&](const Element &e) {
            const Expr row = e.row - front;
            const bool exact_rows = !Form::pads_reductions && is_const_zero(front);
            const Element s = form.row_of(e, exact_rows ? row : clamp(row, 0, seq - 1));
            const Expr exp_k = exp_key(form.at_source(s));
            if (exact_rows) {
                return std::vector<Expr>{exp_k * key_value.value(s), exp_k};
            }
            const Expr inside = row >= 0 && row < seq;
            return std::vector<Expr>{select(inside, exp_k * key_value.value(s), 0.0f), select(inside, exp_k, 0.0f)};
        });
    }
};

}  // namespace aft
