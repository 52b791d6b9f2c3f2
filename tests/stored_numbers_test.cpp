#include <aft/safetensors.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace aft;

TEST_CASE("every number of 16 bits becomes the float32 of the same value", "[safetensors]") {
    const auto all_of = [](const std::string &dtype) {
        StoredTensor tensor{dtype, {65536}, std::vector<std::byte>(2 * 65536)};
        for (std::size_t i = 0; i < 65536; ++i) {
            tensor.bytes[2 * i] = static_cast<std::byte>(i & 255);
            tensor.bytes[2 * i + 1] = static_cast<std::byte>(i >> 8);
        }
        return tensor.as_float();
    };
    // The value by the definition of the format: 1.fraction 2^(exponent - bias), 0.fraction 2^(1 - bias).
    const auto value = [](std::size_t bits, int fraction_bits, int bias) -> double {
        const int fraction = static_cast<int>(bits) & ((1 << fraction_bits) - 1);
        const int exponent = static_cast<int>(bits & 0x7fff) >> fraction_bits;
        const double scale = std::pow(2.0, std::max(exponent, 1) - bias) * (bits & 0x8000 ? -1 : 1);
        if (exponent == 2 * bias + 1) {
            return fraction == 0 ? std::copysign(INFINITY, scale) : NAN;
        }
        return scale * ((exponent > 0) + std::ldexp(fraction, -fraction_bits));
    };
    const std::vector<float> halves = all_of("F16"), bfloats = all_of("BF16");
    std::size_t wrong = 0;
    const auto compare = [&wrong](float actual, double expected) {
        const bool same = actual == expected && std::signbit(actual) == std::signbit(expected);
        wrong += !(std::isnan(expected) ? std::isnan(actual) : same);
    };
    for (std::size_t bits = 0; bits < 65536; ++bits) {
        compare(halves[bits], value(bits, 10, 15));
        compare(bfloats[bits], value(bits, 7, 127));
    }
    CHECK(wrong == 0);
    CHECK(halves[0x7bff] == 65504);
    CHECK(halves[1] == 0x1p-24f);
    CHECK(bfloats[0x3f80] == 1);
    CHECK(bfloats[1] == 0x1p-133f);
}

TEST_CASE("every number of 8 bits becomes the float32 of the same value", "[safetensors]") {
    const auto all_of = [](const std::string &dtype) {
        StoredTensor tensor{dtype, {256}, {}};
        for (int i = 0; i < 256; ++i) {
            tensor.bytes.push_back(static_cast<std::byte>(i));
        }
        return tensor.as_float();
    };
    // The definitions of "OCP 8-bit floating point specification", table 2: what is special, and 1.fraction 2^(exponent
    // - bias) or 0.fraction 2^(1 - bias) for the rest, summed bit by bit.
    const auto number = [](int bits, int fraction_bits, int bias) {
        const int exponent = (bits & 0x7f) >> fraction_bits;
        double value = exponent > 0 ? 1 : 0, weight = 0.5;
        for (int bit = fraction_bits - 1; bit >= 0; --bit, weight /= 2) {
            value += bits >> bit & 1 ? weight : 0;
        }
        for (int e = std::max(exponent, 1); e != bias; e += e < bias ? 1 : -1) {
            value *= e < bias ? 0.5 : 2;
        }
        return bits < 128 ? value : -value;
    };
    const std::vector<float> e4m3 = all_of("F8_E4M3"), e5m2 = all_of("F8_E5M2");
    for (int bits = 0; bits < 256; ++bits) {
        INFO(bits);
        const bool is_negative = bits >= 128;
        if ((bits & 127) == 127) {
            CHECK(std::isnan(e4m3[bits]));
        } else {
            CHECK(e4m3[bits] == number(bits, 3, 7));
            CHECK(std::signbit(e4m3[bits]) == is_negative);
        }
        if ((bits & 127) > 124) {
            CHECK(std::isnan(e5m2[bits]));
        } else {
            CHECK(e5m2[bits] == ((bits & 127) == 124 ? (is_negative ? -INFINITY : INFINITY) : number(bits, 2, 15)));
            CHECK(std::signbit(e5m2[bits]) == is_negative);
        }
    }
    CHECK(e4m3[0x7e] == 448);
    CHECK(e4m3[0x01] == 0x1p-9f);
    CHECK(e4m3[0x38] == 1);
    CHECK(e5m2[0x7b] == 57344);
    CHECK(e5m2[0x01] == 0x1p-16f);
    CHECK(e5m2[0x3c] == 1);
}

TEST_CASE("numbers of 64 bits become the nearest float32, the even one of two", "[safetensors]") {
    constexpr double largest = std::numeric_limits<float>::max(), infinity = std::numeric_limits<double>::infinity();
    const std::vector<std::pair<double, double>> expected = {
        {1 + 0x1p-24, 1},  // half-way
        {1 + 0x1p-24 + 0x1p-52, 1 + 0x1p-23},
        {1 + 0x1p-23 + 0x1p-24, 1 + 0x1p-22},  // half-way
        {1 + 0x1p-23 + 0x1p-24 - 0x1p-52, 1 + 0x1p-23},
        {-1 - 0x1p-24, -1},
        {0x1p-150, 0},  // half-way to the smallest
        {0x1p-150 + 0x1p-200, 0x1p-149},
        {0x3p-150, 0x1p-148},
        {largest + 0x1p102, largest},
        {largest + 0x1p103, infinity},
        {-1e300, -infinity},
    };
    StoredTensor tensor{"F64", {}, {}};
    for (const auto &[value, rounded] : expected) {
        const auto *bytes = reinterpret_cast<const std::byte *>(&value);
        tensor.bytes.assign(bytes, bytes + sizeof value);
        INFO(value);
        CHECK(tensor.as_float().at(0) == rounded);
    }
}
