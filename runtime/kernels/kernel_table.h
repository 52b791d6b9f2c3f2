#pragma once

#include <aft/kernels.h>

#include <cstddef>
#include <optional>
#include <vector>

struct halide_filter_metadata_t;

namespace aft {

/// A generated function in Halide's argv form, and the names of its arguments.
struct GeneratedFunction {
    int (*call)(void **);
    const halide_filter_metadata_t *(*metadata)();
};

/// The prepared buffers that are weights, and how they lie in memory.
struct PreparedWeights {
    const char *names = "";   // "wq wk wv wo"
    const char *layout = "";  // kernels with the same one, and buffers of the same extents, have the same bytes
};

/// A row of a table of kernels, as the build writes it. It has the operation of the kernel, its requirements and its
/// functions. The library binds their arguments by name, never by position:
///     prepare: query_weight, key_weight, value_weight (H, P), project_weight (P, H), position_bias (source, target),
///              window; of linear `weight` (inputs, outputs)  ->  the kernel's own prepared buffers
///     call:    the operation's operands, the prepared buffers, bq, bv (P), bo (H), window, max_seq_len
/// with the extents innermost first. The operands of forward are x and y (H, T, B); each generator of another operation
/// lists its own (generators/). A function takes the subset that it needs. A bounds query of `call` gives the sizes of
/// the prepared buffers, so that no tile size is known outside the generators.
struct KernelRow {
    const char *id;
    const char *operation;
    std::optional<LayerForm> layer;  // none: it serves every form
    const char *algorithm;
    const char *schedule;
    const char *storage;
    const char *api;
    bool any_bias_range;
    PreferredExtents preferred;
    GeneratedFunction prepare;  // null functions where nothing is prepared
    GeneratedFunction call;
    PreparedWeights weights = {};
};

/// The kernels of one table: the library's own (generators/kernels.cmake), or one that a program adds
/// (aft_add_kernels() of generators/add_kernels.cmake). Kernels of shared objects have no table: loaded_kernels.h.
struct KernelTable {
    const KernelRow *rows;
    std::size_t count;
    KernelTable *next;  // of the added tables
};

/// The library's own table.
extern const KernelTable own_kernels;

/// Adds a table. Layers prefer its kernels to the library's own. For initialisers of static variables: a table that is
/// added after the first call of kernel_rows() is ignored.
bool add_kernels(KernelTable &table);

/// The rows of all tables: first the added ones, then the library's own.
const std::vector<KernelRow> &kernel_rows();

}  // namespace aft
