#pragma once

/// @file
/// Safetensors files: reading, writing, and conversion of their tensors.

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

    /// The values of an F32, F16, BF16, F64, F8_E4M3 (OCP's e4m3fn: NaN, no infinities) or F8_E5M2 tensor. Values of 8
    /// and 16 bits convert exactly. F64 values are rounded to the nearest float32, ties to even; beyond its range they
    /// become infinite. Throws WeightsError for another dtype.
    AFT_API std::vector<float> as_float() const;
    /// The values of an F64 tensor. Throws WeightsError for another dtype.
    AFT_API std::vector<double> as_double() const;
};

/// All tensors of a safetensors file, in memory.
///
/// The reader is strict. The header is JSON of at most 100,000,000 bytes that starts with '{'. Every tensor's size is
/// shape times dtype, without overflow. The tensors cover the data exactly: no holes, no overlaps, no trailing bytes.
/// No key occurs twice.
struct SafetensorsFile {
    std::map<std::string, StoredTensor> tensors;  ///< by name
    std::map<std::string, std::string> metadata;  ///< `__metadata__` of the header
    std::string path = {};                        ///< the file that they were read from, for messages
};

/// Reads a whole file. If `path` is an index of shards (`model.safetensors.index.json`), reads the tensors that it
/// lists, from the shards beside it, and the strings of its metadata. Throws WeightsError that names the file and the
/// defect. For a pointer file of Git LFS, an HTML page, an archive or pickle of torch.save() and the like, the message
/// says which of these it is.
AFT_API SafetensorsFile read_safetensors(const std::string &path);

/// Writes a file, whole or not at all. The data goes to a temporary file beside `path`,
/// `.aft-<16 hexadecimal digits>.tmp`, which is then renamed. Links are followed, even to a file that doesn't exist
/// yet. A replaced file keeps its mode, owner and group, but not its access lists and other hard links. A new file gets
/// the mode that the umask leaves.
///
/// A pipe, a socket that this process has open, and a character device are written directly. So is any target of a link
/// in /proc, such as /dev/stdout or /proc/self/fd/3: a regular file there is truncated first, and stays half written if
/// something fails. A pipe without a reader is an error and raises no SIGPIPE.
///
/// Throws WeightsError that names the file and the reason: it is a directory, a block device, or read-only (without any
/// write permission, even root is refused), its owner can't be kept, or the system reports an error.
///
/// Thread-safe.
AFT_API void write_safetensors(const std::string &path, const SafetensorsFile &file);

/// Removes the temporary files that this process is writing, up to 64 at a time. The calls that write them then fail.
/// Made for handlers of signals that end the process: it is async-signal-safe. Thread-safe.
AFT_API void remove_unfinished_files() noexcept;

/// A StoredTensor of float32 values. Throws WeightsError if the product of the extents isn't the number of values.
AFT_API StoredTensor stored_tensor(const std::vector<std::int64_t> &extents, const std::vector<float> &values);

}  // namespace aft
