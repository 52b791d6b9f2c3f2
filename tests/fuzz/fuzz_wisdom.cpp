// Any bytes as wisdom. What is read of it must be what the loader of its kernels relies on.
#include "memory_file.h"

#include "kernels/preference.h"
#include "kernels/wisdom.h"

#include <aft/error.h>

#include <algorithm>
#include <set>
#include <string>

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
        for (const aft::Wisdom::Preference &preference : wisdom.preferences) {
            require(!preference.lengths.empty() && preference.lengths.front().from == 1);
            const std::set<std::string> kernels(preference.kernels.begin(), preference.kernels.end());
            require(kernels.size() == preference.kernels.size());
            std::int64_t before = 0;
            for (const auto &[from, kernel] : preference.lengths) {
                require(from > before && from < std::int64_t{1} << 31 && kernels.count(kernel) == 1);
                before = from;
            }
            const aft::LoadedPreference loaded = aft::loaded_preference(preference, "w.json", wisdom.cpu, wisdom.cpu);
            require(loaded.lengths.size() == kernels.size());
        }
    } catch (const aft::ConfigError &error) {
        const std::string message = error.what();
        require(std::none_of(message.begin(), message.end(), [](unsigned char c) { return c < ' '; }));
    }
    return 0;
}
