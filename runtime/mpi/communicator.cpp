#include "mpi/communicator.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

namespace aft {
namespace {

void check(const char *function, int code) {
    if (code != MPI_SUCCESS) {
        std::array<char, MPI_MAX_ERROR_STRING + 1> text{};
        int length = 0;
        MPI_Error_string(code, text.data(), &length);
        throw MpiError(std::string(function) + " failed: " + text.data());
    }
}

/// "" without one.
std::string text_of(const std::exception_ptr &failure) {
    try {
        if (failure) {
            std::rethrow_exception(failure);
        }
    } catch (const std::exception &error) {
        return error.what();
    } catch (...) {
        return "unknown";
    }
    return "";
}

/// A type of the rows of all samples.
class Rows {
public:
    explicit Rows(const TensorView<float, 3> &rows) {
        const auto [B, count, channels] = rows.extents;
        check("MPI_Type_vector", MPI_Type_vector(static_cast<int>(B), static_cast<int>(count * channels),
                                                 static_cast<int>(rows.strides[0]), MPI_FLOAT, &type_));
        check("MPI_Type_commit", MPI_Type_commit(&type_));
    }
    Rows(const Rows &) = delete;
    Rows &operator=(const Rows &) = delete;
    /// Messages that are on their way keep it.
    ~Rows() {
        MPI_Type_free(&type_);
    }
    MPI_Datatype type() const {
        return type_;
    }

private:
    MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

}  // namespace

Communicator::Communicator(MPI_Comm original) {
    int is_initialised = 0;
    MPI_Initialized(&is_initialised);
    if (is_initialised == 0 || original == MPI_COMM_NULL) {
        throw MpiError(is_initialised == 0 ? "MPI isn't initialised" : "the communicator is MPI_COMM_NULL");
    }
    check("MPI_Comm_dup", MPI_Comm_dup(original, &communicator_));
    MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(communicator_, &rank_);
    MPI_Comm_size(communicator_, &ranks_);
}

Communicator::~Communicator() {
    int is_finalised = 0;
    MPI_Finalized(&is_finalised);
    if (is_finalised == 0) {
        MPI_Comm_free(&communicator_);
    }
}

/// One reduction tells the first process that failed, and the least and the largest of each value.
std::string Communicator::difference_of(const std::exception_ptr &failure, const std::vector<Common> &values) const {
    std::vector<std::int64_t> least = {failure ? rank_ : ranks_};
    for (const Common &common : values) {
        constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
        least.push_back(failure ? none : common.value);
        least.push_back(failure ? none : -common.value);
    }
    check("MPI_Allreduce", MPI_Allreduce(MPI_IN_PLACE, least.data(), static_cast<int>(least.size()), MPI_INT64_T,
                                         MPI_MIN, communicator_));
    if (const int first = static_cast<int>(least[0]); first < ranks_) {
        std::array<char, 512> text{};
        const std::string own = text_of(failure);
        std::copy_n(own.begin(), std::min(own.size(), text.size() - 1), text.begin());
        check("MPI_Bcast", MPI_Bcast(text.data(), static_cast<int>(text.size()), MPI_CHAR, first, communicator_));
        if (failure) {
            std::rethrow_exception(failure);
        }
        throw MpiError("rank " + std::to_string(first) + ": " + text.data());
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::int64_t smallest = least[1 + 2 * i], largest = -least[2 + 2 * i];
        if (smallest != largest) {
            return std::string(values[i].name) + " is " + std::to_string(smallest) + " in one process and " +
                   std::to_string(largest) + " in another, must be the same in all";
        }
    }
    return "";
}

void Communicator::gather(float *all, std::int64_t count) const {
    check("MPI_Allgather",
          MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, static_cast<int>(count), MPI_FLOAT, communicator_));
}

void Communicator::exchange(const std::vector<Message> &sent, const std::vector<Message> &received) const {
    std::vector<MPI_Request> requests;
    requests.reserve(sent.size() + received.size());
    for (const Message &message : received) {
        const Rows rows(message.rows);
        check("MPI_Irecv", MPI_Irecv(message.rows.data, 1, rows.type(), message.peer, 0, communicator_,
                                     &requests.emplace_back(MPI_REQUEST_NULL)));
    }
    for (const Message &message : sent) {
        const Rows rows(message.rows);
        check("MPI_Isend", MPI_Isend(message.rows.data, 1, rows.type(), message.peer, 0, communicator_,
                                     &requests.emplace_back(MPI_REQUEST_NULL)));
    }
    check("MPI_Waitall", MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
}

}  // namespace aft
