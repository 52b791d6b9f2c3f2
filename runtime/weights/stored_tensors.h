#pragma once

#include <aft/safetensors.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace aft {

/// A tensor of a checkpoint without its values.
struct TensorType {
    std::string dtype;
    std::vector<std::int64_t> extents;  // outermost first
};

/// The tensors of a checkpoint: in a file, in shards, or in a SafetensorsFile in memory. Of files, only the tensors in
/// use are read. Throws WeightsError that names the file.
class StoredTensors {
public:
    /// Maps each name to the name that its tensor is stored under. The two differ where the metadata ties them:
    /// save_model() of safetensors.torch leaves out tensors that share memory with others.
    using Names = std::map<std::string, std::string>;

    /// A safetensors file, or an index of shards.
    static std::unique_ptr<StoredTensors> open(const std::string &path);
    /// `file` must live as long.
    static std::unique_ptr<StoredTensors> of(const SafetensorsFile &file);

    StoredTensors(const StoredTensors &) = delete;
    StoredTensors &operator=(const StoredTensors &) = delete;
    virtual ~StoredTensors() = default;

    const std::string &path() const {
        return path_;
    }
    const Names &names() const {
        return names_;
    }
    const std::map<std::string, std::string> &metadata() const {
        return metadata_;
    }

    /// `stored` is a value of names().
    virtual TensorType type(const std::string &stored) = 0;
    /// The tensor. `space` holds it if it isn't in memory already.
    virtual const StoredTensor &read(const std::string &stored, StoredTensor &space) = 0;

protected:
    StoredTensors(std::string path, Names names, std::map<std::string, std::string> metadata);

private:
    std::string path_;
    Names names_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace aft
