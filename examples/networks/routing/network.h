#pragma once

/// @file
/// A network that makes tours, of the kind of ICAM (arXiv 2405.01906). N cities, n tours in the making, D channels.
/// Functions throw aft::ShapeError for places that aren't finite, for no places and for cities that a tour can't visit,
/// and what aft::Layer throws.

#include "blocks/blocks.h"

#include <aft/aft.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace routing {

/// The places moved and scaled into the unit square, [N, 2]; the longer side of their box becomes 1. So the network
/// sees what it has been trained with, at any scale of the distances. places: [N, 2].
std::vector<float> normalised(const std::vector<double> &places);

/// An encoder layer: x becomes norm(x + AFT(x)), and then norm(x + down(relu(up(x)))).
struct EncoderLayer {
    aft::Layer aft;  ///< of the form given; its position bias is -alpha log2(N) distance
    float alpha;
    networks::InstanceNorm norm1;
    networks::Linear up, down;
    networks::InstanceNorm norm2;
};

/// An instance as the steps need it.
struct Encoded {
    std::int64_t cities;                 ///< N
    std::vector<float> scaled;           ///< [N, N], log2(N) distance
    std::vector<float> embedded, first;  ///< [N, D], of the cities, and of the cities as starts
    std::vector<float> by_channel;       ///< embedded, as [D, N or more]
    aft::Sources sources;                ///< keys and values of the decoder
};

/// The weights. Thread-safe.
class Network {
public:
    /// The tensors of model.py's Network. Throws aft::WeightsError.
    explicit Network(const aft::SafetensorsFile &file);

    /// places: [N >= 1, 2], in the unit square, where the network has been trained.
    Encoded encode(const std::vector<float> &places) const;

private:
    friend class Decoder;
    std::int64_t channels_;
    networks::Linear embed_;
    std::vector<EncoderLayer> layers_;
    networks::Linear first_;
    aft::Layer decoder_;
    float decoder_alpha_, alpha_;  // of the position bias of the decoder, and of the logits
};

/// The tours in the making of an instance, one from each of n starts. It must not outlive the network and the instance.
class Decoder {
public:
    /// starts: [n] of 0..N - 1.
    Decoder(const Network &network, const Encoded &encoded, std::vector<std::int64_t> starts);

    /// The logits of each tour's next city, [n, N]. They say nothing about cities that the tour has visited.
    const std::vector<float> &logits();
    /// The open city with the largest logit, for each tour: [n].
    std::vector<std::int64_t> best();
    /// Appends a city to each tour. cities: [n], open ones.
    void visit(const std::vector<std::int64_t> &cities);

private:
    const Network &network_;
    const Encoded &encoded_;
    std::int64_t tours_;                       // n
    std::vector<std::int64_t> starts_, last_;  // [n]
    std::unique_ptr<bool[]> is_open_;          // [n, N]
    std::vector<float> query_, context_;       // [n, D]
    std::vector<float> distances_, logits_;    // [n, N]
};

/// Greedy tours from every city, [N, N]. places: [N, 2], at any scale.
std::vector<std::int64_t> make_tours(const Network &network, const std::vector<double> &places);

/// The length of a closed tour, in the unit of the places. tour: the N cities in order.
double length(const std::vector<double> &places, const std::int64_t *tour);

}  // namespace routing
