#include "sent.h"

#include <aft/threads.h>

#include <catch2/catch_session.hpp>

#include <mpi.h>

// MPI lets a program stand between itself and the library: PMPI_ has every function again. These count what is
// sent, and fail when a test wants it.

namespace aft {
std::int64_t sent_bytes = 0, sent_by_agreements = 0;
bool agreements_fail = false, gathers_fail = false;
}  // namespace aft

namespace {

std::int64_t bytes_of(int count, MPI_Datatype type) {
    int size = 0;
    PMPI_Type_size(type, &size);
    return static_cast<std::int64_t>(count) * size;
}

}  // namespace

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request) {
    aft::sent_bytes += bytes_of(count, type);
    return PMPI_Isend(data, count, type, to, tag, comm, request);
}

int MPI_Allgather(const void *sent, int sent_count, MPI_Datatype sent_type, void *received, int count,
                  MPI_Datatype type, MPI_Comm comm) {
    if (aft::gathers_fail) {
        return MPI_ERR_OTHER;
    }
    int ranks = 1;
    PMPI_Comm_size(comm, &ranks);
    aft::sent_bytes += bytes_of(count, type) * (ranks - 1);
    return PMPI_Allgather(sent, sent_count, sent_type, received, count, type, comm);
}

int MPI_Allreduce(const void *sent, void *received, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
    if (aft::agreements_fail) {
        return MPI_ERR_OTHER;
    }
    aft::sent_by_agreements += bytes_of(count, type);
    return PMPI_Allreduce(sent, received, count, type, op, comm);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    aft::set_thread_count(1);
    const int result = Catch::Session().run(argc, argv);
    MPI_Finalize();
    return result;
}
