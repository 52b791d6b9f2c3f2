#pragma once

#include <cstdint>
#include <vector>

namespace aft {

/// SplitMix64, summed to bell-shaped numbers in integer arithmetic: no library function that may differ between
/// machines.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t bits() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    /// The sum of four uniform numbers of 16 bits, scaled to deviation 1; within +-3.47.
    float normal() {
        const std::uint64_t z = bits();
        const auto sum = static_cast<int>((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
        return static_cast<float>(sum - 2 * 0xffff) * (1.7320508f / 65536);
    }

    bool one_in(std::uint64_t n) {
        return bits() % n == 0;
    }

    std::vector<float> normals(std::int64_t count, float scale) {
        std::vector<float> values(count);
        for (float &value : values) {
            value = scale * normal();
        }
        return values;
    }

private:
    std::uint64_t state_;
};

}  // namespace aft
