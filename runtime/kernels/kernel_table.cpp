#include "kernels/kernel_table.h"

namespace aft {
namespace {

// Set before main(), by the tables that a program adds.
KernelTable *added_kernels = nullptr;

}  // namespace

bool add_kernels(KernelTable &table) {
    KernelTable **end = &added_kernels;
    while (*end) {
        end = &(*end)->next;
    }
    *end = &table;
    return true;
}

const std::vector<KernelRow> &kernel_rows() {
    static const std::vector<KernelRow> all = [] {
        std::vector<KernelRow> result;
        for (const KernelTable *table = added_kernels; table; table = table->next) {
            result.insert(result.end(), table->rows, table->rows + table->count);
        }
        result.insert(result.end(), own_kernels.rows, own_kernels.rows + own_kernels.count);
        return result;
    }();
    return all;
}

}  // namespace aft
