# Kernels call a Halide runtime that is the library's own, whatever else of Halide is in a program: every symbol that
# ARCHIVE, the runtime, defines gets the prefix aft_. Leaves the names in the file NAMES, as objcopy reads them, for
# whatever calls the runtime. runtime/halide/halide.h has those that C++ calls.
#
# usage: cmake -D NM=<nm> -D OBJCOPY=<objcopy and options> -D ARCHIVE=<file> -D NAMES=<file> -P own_runtime.cmake
execute_process(COMMAND ${NM} --extern-only --defined-only --format=posix ${ARCHIVE}
                OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^ \n]+ [A-Za-z] " symbols "${symbols}")
set(renames)
foreach(symbol ${symbols})
    string(REGEX REPLACE " .*" "" symbol ${symbol})
    string(APPEND renames "${symbol} aft_${symbol}\n")
endforeach()
if(NOT renames)
    message(FATAL_ERROR "${NM} finds no symbol in ${ARCHIVE}")
endif()
set(written)
if(EXISTS ${NAMES})
    file(READ ${NAMES} written)
endif()
if(NOT written STREQUAL renames)
    file(WRITE ${ARCHIVE}.names "${renames}")
    file(RENAME ${ARCHIVE}.names ${NAMES})  # at once: kernels of another configuration may read it
endif()
execute_process(COMMAND ${OBJCOPY} --redefine-syms=${NAMES} ${ARCHIVE} COMMAND_ERROR_IS_FATAL ANY)
