#include "files/hash.h"

#ifdef AFT_HAS_LIBMD
#include <sha2.h>
#endif

namespace aft {

#ifdef AFT_HAS_LIBMD

bool has_sha256() {
    return true;
}

std::string sha256(const std::string &text) {
    char digits[SHA256_DIGEST_STRING_LENGTH];
    SHA256Data(reinterpret_cast<const std::uint8_t *>(text.data()), text.size(), digits);
    return digits;
}

#else

bool has_sha256() {
    return false;
}

std::string sha256(const std::string &) {
    return {};
}

#endif

}  // namespace aft
