#pragma once

#include <cstdint>

namespace aft {

/// Bytes that this process has sent so far, each receiver counted; those of MPI_Allreduce apart from the others.
extern std::int64_t sent_bytes, sent_by_agreements;

/// Whether MPI_Allreduce and MPI_Allgather fail.
extern bool agreements_fail, gathers_fail;

}  // namespace aft
