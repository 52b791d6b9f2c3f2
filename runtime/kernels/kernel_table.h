#pragma once

#include <aft/kernels.h>

#include <cstddef>

struct halide_filter_metadata_t;

namespace aft {

/// A row of a table of kernels, as the build writes it: a pair of generated functions in Halide's argv form. Arguments
/// are matched by their names in the metadata, never by position:
///     prepare: query_weight, key_weight, value_weight (H, P), project_weight (P, H), position_bias (source, target),
///              window  ->  the kernel's own prepared buffers
///     forward: x (H, T, B), the prepared buffers, bq, bv (P), bo (H), window, max_seq_len  ->  y (H, T, B)
/// with the extents innermost first. A function takes the subset that it needs. The sizes of the prepared buffers come
/// from a bounds query of forward, so that no tile size is known outside the generators.
struct KernelRow {
    const char *id;
    LayerForm layer;
    const char *device;
    const char *schedule;
    bool any_bias_range;
    PreferredExtents preferred;
    int (*prepare)(void **);
    const halide_filter_metadata_t *(*prepare_metadata)();
    int (*forward)(void **);
    const halide_filter_metadata_t *(*forward_metadata)();
};

/// The kernels of one table: the library's own (generators/kernels.cmake), or one that a program brings along
/// (aft_add_kernels() of generators/add_kernels.cmake).
struct KernelTable {
    const KernelRow *rows;
    std::size_t count;
    KernelTable *next;  // of those that were added
};

/// The library's own.
extern const KernelTable own_kernels;

/// Adds a table, whose kernels are preferred to the library's own. For initialisers of static variables: the registry
/// takes no more once kernels() has been called.
bool add_kernels(KernelTable &table);

}  // namespace aft
