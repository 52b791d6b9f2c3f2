#pragma once

#include <string>

namespace aft::bench {

/// Writes what every contestant reads: the parameters by aft-pytorch's names, the inputs, some `rows` of the targets
/// with `expected` and `tolerance` [batch, rows, channels] in double. Metadata are `layer`, `window` and
/// `bfloat16_tolerances`, how many tolerances a result may be off whose products are of bfloat16.
///
/// | layer                    | shape        | inputs                                                                |
/// |--------------------------|--------------|-----------------------------------------------------------------------|
/// | a form with a layer      | B,T,H,P[,s]  | `input` [B, T, H]                                                     |
/// | given: the mean alone    | B,n,m,P      | `query` [B, n, P]; `key`, `value` [B, m, P]; `bias` [B, n, m]         |
/// | kept: a layer of H = P   | B,n,m,P      | `input` [B, n, H]; `key`, `value` [B, m, H], kept; `bias` [B, n, m]   |
///
/// Throws std::exception.
void write_problem(const std::string &layer, const std::string &shape, const std::string &path);

}  // namespace aft::bench
