#pragma once

#include <Halide.h>

namespace networks {

/// Over which elements a norm has its mean and its variance: the channels of a row, or the rows of a channel.
enum class Over { channels, rows };

/// (v - mean) / sqrt(variance + epsilon) weight + bias, where v = x, or x + added. Activations are (channel, row,
/// batch).
struct Norm {
    Over over;
    Halide::RDom among;  // what has one mean
    Halide::Func total{"total"}, sum{"sum"}, mean{"mean"}, squares{"squares"}, scale{"scale"};
    Halide::Expr v, value;  // at (channel, row, batch)

    /// count: of the elements that have one mean. added: may be undefined.
    Norm(Over over, const Halide::Func &x, const Halide::Func &added, const Halide::Func &weight,
         const Halide::Func &bias, const Halide::Expr &epsilon, const Halide::Expr &count, const Halide::Var &channel,
         const Halide::Var &row, const Halide::Var &batch)
        : over(over), among(0, count, "among") {
        const bool of_row = over == Over::channels;
        const Halide::Var which = of_row ? row : channel;
        Halide::Expr each = x(channel, row, batch);
        if (added.defined()) {
            each += added(channel, row, batch);
        }
        total(channel, row, batch) = each;
        const Halide::Expr element = of_row ? total(among, row, batch) : total(channel, among, batch);
        sum(which, batch) += element;
        mean(which, batch) = sum(which, batch) / count;
        squares(which, batch) += (element - mean(which, batch)) * (element - mean(which, batch));
        scale(which, batch) = 1.0f / Halide::sqrt(squares(which, batch) / count + epsilon);
        v = total(channel, row, batch);
        value = (v - mean(which, batch)) * scale(which, batch) * weight(channel) + bias(channel);
    }
};

/// Rows of length 1: x / max(|x|, 1e-12).
struct Unit {
    Halide::RDom among;
    Halide::Func squares{"squares"}, length{"length"};
    Halide::Expr value;  // at (channel, row, batch)

    Unit(const Halide::Func &x, const Halide::Expr &channels, const Halide::Var &channel, const Halide::Var &row,
         const Halide::Var &batch)
        : among(0, channels, "among") {
        squares(row, batch) += x(among, row, batch) * x(among, row, batch);
        length(row, batch) = Halide::max(Halide::sqrt(squares(row, batch)), 1e-12f);
        value = x(channel, row, batch) / length(row, batch);
    }
};

}  // namespace networks
