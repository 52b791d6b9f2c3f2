#include <aft/standard_library.h>

const char AFT_STANDARD_LIBRARY = 0;
