// Any bytes as wisdom. What is read of it must be what the loader of its kernels relies on.
#include "memory_file.h"

#include "kernels/wisdom.h"

#include <aft/error.h>

#include <algorithm>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const MemoryFile memory;
    try {
        const aft::Wisdom wisdom = aft::read_wisdom(memory.with(data, size));
        for (const aft::Wisdom::Result &result : wisdom.results) {
            require(result.shape.batch > 0 && result.shape.seq > 0 && result.shape.seq < std::int64_t{1} << 31);
            require(result.config.hidden > 0 && result.config.projected > 0 && result.config.window >= 0);
            if (result.library) {
                require(!result.library->file.empty() && result.library->file.find('/') == std::string::npos);
                require(result.library->sha256.size() == 64);
            }
        }
    } catch (const aft::ConfigError &error) {
        const std::string message = error.what();
        require(std::none_of(message.begin(), message.end(), [](unsigned char c) { return c < ' '; }));
    }
    return 0;
}
