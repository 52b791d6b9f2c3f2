#pragma once

#include "layer/layer_call.h"
#include "layer/parts.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace aft {

template<typename T>
TensorView<T, 3> rows_of(T *data, std::int64_t batch, std::int64_t rows, std::int64_t channels) {
    return {data, {batch, rows, channels}};
}

enum Part { query, key, value };

/// The projections of one input: they are one product. Their results lie side by side, [B, rows, projections P].
struct Group {
    TensorView<const float, 3> x;
    Part input = query;  // whose gradient has theirs
    Part first = query;
    int count = 0;  // of projections: query, key, value in this order
};

class Groups {
public:
    Groups(const LayerCall &call, bool has_query) {
        const bool has_key = is_given(call.key), has_value = is_given(call.value);
        const std::array<TensorView<const float, 3>, 3> inputs = {call.query, has_key ? call.key : call.query,
                                                                  has_value ? call.value
                                                                  : has_key ? call.key
                                                                            : call.query};
        for (const Part part : {query, key, value}) {
            const bool is_first = part == query || (part == key ? has_key : has_value);
            if (is_first && (count_ == 0 || groups_[count_ - 1].count > 0)) {
                ++count_;
            }
            Group &group = groups_[count_ - 1];
            if (part == query && !has_query) {
                continue;
            }
            if (group.count++ == 0) {
                group.x = inputs[part];
                group.input = part == query || (part == key && !has_key) ? query
                              : part == key || !has_value                ? key
                                                                         : value;
                group.first = part;
            }
        }
    }
    const Group *begin() const {
        return groups_.data();
    }
    const Group *end() const {
        return begin() + count_;
    }

private:
    std::array<Group, 3> groups_;
    std::size_t count_ = 0;
};

/// The values that are saved of a call, or their gradients, [results of the groups | gated mean | what the mean saves].
template<typename T>
class Saved {
public:
    Saved(T *data, const Groups &groups, std::int64_t batch, std::int64_t targets, std::int64_t projected) {
        for (const Group &group : groups) {
            const std::int64_t rows = group.x.extents[1], channels = group.count * projected;
            all_[&group - groups.begin()] = rows_of(data, batch, rows, channels);
            for (int i = 0; i < group.count; ++i) {
                parts_[group.first + i] = {data + i * projected,
                                           {batch, rows, projected},
                                           {rows * channels, channels, 1}};
            }
            data += batch * rows * channels;
        }
        gated_ = rows_of(data, batch, targets, projected);
        rest_ = data + batch * targets * projected;
    }
    const TensorView<T, 3> &of(std::ptrdiff_t group) const {
        return all_[group];
    }
    const TensorView<T, 3> &operator[](Part part) const {
        return parts_[part];
    }
    const TensorView<T, 3> &gated() const {
        return gated_;
    }
    T *rest() const {
        return rest_;
    }
    /// of_rest: how much the mean saves of a sample.
    Saved part(std::int64_t first, std::int64_t count, std::int64_t of_rest) const {
        Saved result = *this;
        for (std::size_t i = 0; i < parts_.size(); ++i) {
            result.all_[i] = part_of(all_[i], first, count);
            result.parts_[i] = part_of(parts_[i], first, count);
        }
        result.gated_ = part_of(gated_, first, count);
        result.rest_ += first * of_rest;
        return result;
    }

private:
    std::array<TensorView<T, 3>, 3> all_, parts_;
    TensorView<T, 3> gated_;
    T *rest_;
};

}  // namespace aft
