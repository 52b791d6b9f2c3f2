#pragma once

#include <aft/kernels.h>

#include <cstddef>

struct halide_filter_metadata_t;

namespace aft {

/// A row of the table in generators/kernels.cmake, as the build writes it into kernel_table.cpp: a pair of generated
/// functions in Halide's argv form. Arguments are matched by their names in the metadata, never by position:
///     prepare: query_weight, key_weight, value_weight (H, P), project_weight (P, H), position_bias (source, target),
///              window  ->  the kernel's own prepared buffers
///     forward: x (H, T, B), the prepared buffers, bq, bv (P), bo (H), window, max_seq_len  ->  y (H, T, B)
/// with the extents innermost first. A function takes the subset that it needs. The sizes of the prepared buffers come
/// from a bounds query of forward, so that no tile size is known outside the generators.
struct KernelRow {
    const char *id;
    LayerKind layer;
    const char *device;
    const char *schedule;
    bool any_bias_range;
    PreferredExtents preferred;
    int (*prepare)(void **);
    const halide_filter_metadata_t *(*prepare_metadata)();
    int (*forward)(void **);
    const halide_filter_metadata_t *(*forward_metadata)();
};

extern const KernelRow kernel_rows[];
extern const std::size_t kernel_row_count;

}  // namespace aft
