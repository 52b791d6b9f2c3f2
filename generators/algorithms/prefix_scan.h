#pragma once

#include "../forms/form.h"

namespace aft {

/// Combinations of the first i of `count` items, per channel and sample, for every i: never as a difference of two
/// sums, in which everything cancels when one item dominates. In two levels, within chunks of items and over the
/// chunks, so that no sum is a chain of more than count / chunk + chunk roundings.
template<typename Form>
class PrefixScan {
public:
    using Items = std::function<Halide::Tuple(const Halide::Expr &item)>;
    using Combine = std::function<Halide::Tuple(const Halide::Tuple &, const Halide::Tuple &)>;

    static constexpr int chunk_items = Form::scan_chunk;
    Halide::Func items, within, over;
    Halide::Expr longest;  // items of a chunk; below chunk_items where there is only one chunk
    Halide::RDom item, chunk;

    /// `items` is called at the variables of form.channel_vars().
    PrefixScan(Form &form, const std::string &name, const Items &items, const Halide::Expr &count,
               const Halide::Tuple &identity, const Combine &combine)
        : items(form.stage(name + "_items")), within(form.stage(name + "_within")), over(form.stage(name + "_over")),
          longest(min(count, chunk_items)), item(1, longest, name + "_item"),
          chunk(1, ceil_div(count + 1, chunk_items) - 1, name + "_chunk"), combine(combine) {
        using namespace Halide;
        const std::vector<Expr> c = as_exprs(form.channel_vars());
        const Var i("i"), k("k");
        this->items(at(c, i)) = items(i);
        within(at(c, i, k)) = identity;
        within(at(c, item, k)) = combine(Tuple(within(at(c, item - 1, k))),
                                         Tuple(this->items(at(c, min(k * chunk_items + item - 1, count - 1)))));
        over(at(c, k)) = identity;
        over(at(c, chunk)) = combine(Tuple(over(at(c, chunk - 1))), Tuple(within(at(c, longest, chunk - 1))));
    }

    /// The first `n` items combined, at coordinates in the order of channel_vars().
    Halide::Tuple of_first(const Halide::Expr &n, const std::vector<Halide::Expr> &channel) const {
        using namespace Halide;
        return combine(Tuple(over(at(channel, n / chunk_items))),
                       Tuple(within(at(channel, min(n % chunk_items, longest), n / chunk_items))));
    }

private:
    Combine combine;

    /// Func coordinates: lane (or channel) innermost, then the scan's own, then the rest.
    template<typename... Own>
    static std::vector<Halide::Expr> at(std::vector<Halide::Expr> channel, const Own &...own) {
        const std::vector<Halide::Expr> inner = {Halide::Expr(own)...};
        channel.insert(channel.begin() + 1, inner.begin(), inner.end());
        return channel;
    }
};

}  // namespace aft
