# Halide, and the program that makes kernels.

# Finds Halide. Arguments are those of find_package.
macro(aft_find_halide)
    set(CMAKE_DISABLE_FIND_PACKAGE_Halide_Python ON)  # the bindings aren't used, and would ask for Python's headers
    set(Halide_NO_DEFAULT_FLAGS ON)                   # or generators get the warnings of Halide.h with their own
    if(EMSCRIPTEN)
        # Only the part for other machines: the package is for this one, which has 64 bits. It declares a module.
        set_property(GLOBAL PROPERTY TARGET_SUPPORTS_SHARED_LIBS ON)
        find_package(HalideHelpers 21 REQUIRED ${ARGN})
        set(Halide_VERSION ${HalideHelpers_VERSION})
    else()
        find_package(Halide 21 REQUIRED COMPONENTS shared ${ARGN})
    endif()
endmacro()

# Adds the program that makes kernels, aft::halide_generators::<name>, with the schedule in `own_schedule`. It makes
# those of the pipelines in ARGN, or of all. When cross-compiling, it comes from a build for this machine, which
# aft-halide_generators_ROOT names.
function(aft_add_generator name own_schedule)
    set(folder ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
    if(ARGN)
        list(TRANSFORM ARGN REPLACE "(.+)" "${folder}/\\1_generator.cpp" OUTPUT_VARIABLE sources)
    else()
        file(GLOB sources CONFIGURE_DEPENDS ${folder}/*_generator.cpp)
    endif()
    add_halide_generator(${name} PACKAGE_NAME aft-halide_generators PACKAGE_NAMESPACE aft::halide_generators::
                         SOURCES ${sources} ${own_schedule})
    if(TARGET ${name})
        target_include_directories(${name} PRIVATE ${folder})
        aft_compile_generator(${name})
    endif()
endfunction()

# Compiles the sources of the generator `name` in half of the time: a generator waits for Halide, which is optimised, and
# runs once for each kernel.
function(aft_compile_generator name)
    target_compile_features(${name} PRIVATE cxx_std_17)
    target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-O0>)
endfunction()
