#pragma once

/// @file
/// Files of tensors.

#include <aft/export.h>
#include <aft/standard_library.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace aft {

/// A tensor of a safetensors file.
struct StoredTensor {
    std::string dtype;                  ///< "F32", "F64", "BOOL", ... as in the file
    std::vector<std::int64_t> extents;  ///< outermost first; empty for a scalar
    std::vector<std::byte> bytes;       ///< row-major, little-endian

    /// The values of an F32, F16, BF16, F64, F8_E4M3 (OCP's e4m3fn: NaN, no infinities) or F8_E5M2 tensor. Those of 8
    /// and 16 bits fit exactly; F64 is rounded to the nearest, to even between two, and becomes infinite beyond the
    /// range of float32. Throws WeightsError for another dtype.
    AFT_API std::vector<float> as_float() const;
    /// The values of an F64 tensor. Throws WeightsError for another dtype.
    AFT_API std::vector<double> as_double() const;
};

/// The tensors of a safetensors file, read whole. Strict: the header is at most 100,000,000 bytes of JSON that starts
/// with '{'; every tensor's size is shape times dtype without overflow; together they cover the data exactly, without
/// holes, overlaps or trailing bytes; no key comes twice.
struct SafetensorsFile {
    std::map<std::string, StoredTensor> tensors;  ///< by name
    std::map<std::string, std::string> metadata;  ///< `__metadata__` of the header
    std::string path = {};                        ///< where it was read from, for messages
};

/// Reads a file whole, or by an index of shards, `model.safetensors.index.json`, the tensors that it lists, and what of
/// its metadata is strings. Shards lie beside the index. Throws WeightsError that names the file and what is wrong with
/// it: also what it is instead, for pointer files of Git LFS, HTML pages, archives and pickles of torch.save() and
/// such.
AFT_API SafetensorsFile read_safetensors(const std::string &path);

/// Writes the file whole or not at all: to a temporary beside `path`, `.aft-<16 hexadecimal digits>.tmp`, which is then
/// renamed. Links are followed, also to where no file is yet. A file that is replaced keeps its mode, owner and group;
/// access lists and other hard links don't come along. A new one has the mode that the umask leaves.
///
/// A pipe, a socket that this process has open, and a character device is written to as it stands, and so is whatever
/// lies behind a link of /proc, such as /dev/stdout or /proc/self/fd/3: a regular file there is cut to nothing first,
/// and is left half written when something fails. A pipe whose reader is gone is an error, no SIGPIPE.
///
/// Throws WeightsError that names the file and says why: a directory, a block device, a read-only file (without any
/// permission to write, root can't either), an owner that can't be kept, an error of the system.
///
/// Thread-safe.
AFT_API void write_safetensors(const std::string &path, const SafetensorsFile &file);

/// Removes the temporaries of files that this process is writing, up to 64 at a time; calls that write them then fail.
/// For handlers of signals that end the process: it is async-signal-safe. Thread-safe.
AFT_API void remove_unfinished_files() noexcept;

/// [extents] of float32 values as a StoredTensor.
AFT_API StoredTensor stored_tensor(const std::vector<std::int64_t> &extents, const std::vector<float> &values);

}  // namespace aft
