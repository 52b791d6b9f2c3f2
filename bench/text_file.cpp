#include "text_file.h"

#include "files/output_file.h"

#include <aft/error.h>

#include <stdexcept>

namespace aft::bench {

void write_text(const std::filesystem::path &path, const std::string &text) {
    try {
        const std::unique_ptr<OutputFile> file = OutputFile::open(path.string());
        file->write(text.data(), text.size());
        file->commit();
    } catch (const Error &error) {
        throw std::runtime_error(path.string() + ": " + error.what());
    }
}

}  // namespace aft::bench
