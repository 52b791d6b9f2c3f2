#pragma once

#include <aft/mpi.h>
#include <aft/tensor_view.h>

#include <cstdint>
#include <exception>
#include <string>
#include <vector>

namespace aft {

/// A duplicate of a program's communicator: no message of the program can meet one of its own, and errors of MPI become
/// MpiErrors.
class Communicator {
public:
    /// Collective.
    explicit Communicator(MPI_Comm original);
    Communicator(const Communicator &) = delete;
    Communicator &operator=(const Communicator &) = delete;
    ~Communicator();

    int rank() const {
        return rank_;
    }
    int ranks() const {
        return ranks_;
    }

    /// A number that must be the same in all processes.
    struct Common {
        const char *name;
        std::int64_t value;
    };
    /// Collective. Throws in all processes if one of them has a failure: there it is thrown again, elsewhere as an
    /// MpiError. Throws DifferenceError in all processes if a value isn't the same in all of them.
    template<typename DifferenceError>
    void agree(const std::exception_ptr &failure, const std::vector<Common> &values) const {
        if (const std::string difference = difference_of(failure, values); !difference.empty()) {
            throw DifferenceError(difference);
        }
    }

    /// Collective. all: [ranks, count], where each process has filled its own row.
    void gather(float *all, std::int64_t count) const;

    /// Rows without gaps between them, [B, rows, channels], that go to another process or come from it.
    struct Message {
        int peer;
        TensorView<float, 3> rows;
    };
    /// Messages between two processes arrive in the order in which they are listed.
    void exchange(const std::vector<Message> &sent, const std::vector<Message> &received) const;

private:
    std::string difference_of(const std::exception_ptr &failure, const std::vector<Common> &values) const;

    MPI_Comm communicator_ = MPI_COMM_NULL;
    int rank_ = 0, ranks_ = 1;
};

}  // namespace aft
