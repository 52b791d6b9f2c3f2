#include "weights/stored_tensors.h"
#include "weights/shard_index.h"
#include "weights/tensor_file.h"

#include <filesystem>

namespace aft {
namespace {

template<typename Tensors>
StoredTensors::Names names_of(const Tensors &tensors) {
    StoredTensors::Names names;
    for (const auto &tensor : tensors) {
        names.emplace_hint(names.end(), tensor.first, tensor.first);
    }
    return names;
}

class TensorsInMemory final : public StoredTensors {
public:
    explicit TensorsInMemory(const SafetensorsFile &file)
        : StoredTensors(file.path, names_of(file.tensors), file.metadata), file_(file) {}

    TensorType type(const std::string &stored) override {
        const StoredTensor &tensor = file_.tensors.at(stored);
        return {tensor.dtype, tensor.extents};
    }
    const StoredTensor &read(const std::string &stored, StoredTensor & /*space*/) override {
        return file_.tensors.at(stored);
    }

private:
    const SafetensorsFile &file_;
};

class TensorsInFile final : public StoredTensors {
public:
    TensorsInFile(const std::string &path, TensorFile file)
        : StoredTensors(path, names_of(file.tensors()), file.metadata()), file_(std::move(file)) {}

    TensorType type(const std::string &stored) override {
        const SafetensorsHeader::Tensor &tensor = file_.tensors().at(stored);
        return {tensor.dtype, tensor.extents};
    }
    const StoredTensor &read(const std::string &stored, StoredTensor &space) override {
        return space = file_.read(file_.tensors().at(stored));
    }

private:
    TensorFile file_;
};

/// Opens a shard for the first read of one of its tensors.
class TensorsInShards final : public StoredTensors {
public:
    TensorsInShards(const std::string &path, ShardIndex index)
        : StoredTensors(path, names_of(index.shards), std::move(index.metadata)), shards_(std::move(index.shards)) {}

    TensorType type(const std::string &stored) override {
        const SafetensorsHeader::Tensor &tensor = find(stored, shard_of(stored));
        return {tensor.dtype, tensor.extents};
    }
    const StoredTensor &read(const std::string &stored, StoredTensor &space) override {
        const TensorFile &shard = shard_of(stored);
        return space = shard.read(find(stored, shard));
    }

private:
    const TensorFile &shard_of(const std::string &stored) {
        const std::string &name = shards_.at(stored);
        auto file = files_.find(name);
        if (file == files_.end()) {
            const std::filesystem::path beside = std::filesystem::path(path()).parent_path() / name;
            const std::string called = path() + ": " + in_quotes(name);
            InputFile opened = with_path(called, [&] { return InputFile(beside.string()); });
            file = files_.emplace(name, TensorFile(called, std::move(opened))).first;
        }
        return file->second;
    }
    const SafetensorsHeader::Tensor &find(const std::string &stored, const TensorFile &shard) const {
        const auto found = shard.tensors().find(stored);
        if (found == shard.tensors().end()) {
            throw WeightsError(path() + ": tensor " + in_quotes(stored) + " isn't in " + in_quotes(shards_.at(stored)) +
                               ", the shard that the index names");
        }
        return found->second;
    }

    std::map<std::string, std::string> shards_;  // by tensor
    std::map<std::string, TensorFile> files_;    // by shard
};

ShardIndex read_index(const InputFile &file) {
    if (file.bytes() > max_header_bytes) {
        throw WeightsError("index of shards has " + std::to_string(file.bytes()) + " bytes, the limit is " +
                           std::to_string(max_header_bytes));
    }
    return parse_index(file.text(0, file.bytes()));
}

}  // namespace

StoredTensors::StoredTensors(std::string path, Names names, std::map<std::string, std::string> metadata)
    : path_(std::move(path)), names_(std::move(names)), metadata_(std::move(metadata)) {
    Names tied;
    for (const auto &[name, kept] : metadata_) {
        if (names_.count(kept) > 0) {
            tied.emplace(name, kept);
        }
    }
    names_.merge(tied);  // leaves the names that have tensors of their own
}

std::unique_ptr<StoredTensors> StoredTensors::open(const std::string &path) {
    InputFile file = with_path(path, [&] { return InputFile(path); });
    if (with_path(path, [&] { return is_json(file); })) {
        return std::make_unique<TensorsInShards>(path, with_path(path, [&] { return read_index(file); }));
    }
    return std::make_unique<TensorsInFile>(path, TensorFile(path, std::move(file)));
}

std::unique_ptr<StoredTensors> StoredTensors::of(const SafetensorsFile &file) {
    return std::make_unique<TensorsInMemory>(file);
}

}  // namespace aft
