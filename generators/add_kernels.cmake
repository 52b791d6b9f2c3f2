# A program's own kernels: for its own shapes and target, by our schedules or one of its own. Needs Halide.
#
#   aft_add_kernels(<name>
#       SHAPES <shape>...            "B=1,T=512,H=256,P=256" and, for local, ",s=32". A layer runs these kernels at these
#                                    extents and, but for B, at no others; T may be a range, T=1:16, and for schedules
#                                    by hand each extent may be left out, which means any.
#       SCHEDULES <schedule>...      packed, exact, naive or an autoscheduler: adams2019, mullapudi2016, li2018; on GPUs
#                                    tiled, exact, naive, li2018, and on cuda anderson2021. Autoscheduled kernels take no
#                                    extents below those of the shape, B included.
#       [SCHEDULE_SOURCE <file>]     a schedule of the program's own, named like the file (generators/schedules/own.h)
#       [LAYERS full|simple|local...]        default: all
#       [DEVICE cpu|cuda|opencl|vulkan]      default: cpu
#       [TARGET <Halide target>...]          the best first; default: this machine, or what CMake compiles for
#       [PARAMS <name>=<value>...])          of the generator, for schedules by hand: tile_rows=6
#
# makes the static library <name>. In a program that links to it, aft::kernels() has its kernels before the library's
# own, and aft::Layer prefers them: in the order of the schedules (that of SCHEDULE_SOURCE first), then of the shapes.
# Their ids are <name>_<layer>_<device>_<schedule>_<shape>.
include(${CMAKE_CURRENT_LIST_DIR}/autoschedulers.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/kernel_rows.cmake)

# Arguments are those of find_package.
macro(aft_find_halide)
    set(CMAKE_DISABLE_FIND_PACKAGE_Halide_Python ON)  # the bindings aren't used, and would ask for Python's headers
    set(Halide_NO_DEFAULT_FLAGS ON)                   # or generators get the warnings of Halide.h with their own
    find_package(Halide 21 REQUIRED COMPONENTS shared ${ARGN})
endmacro()

# The program that makes kernels, aft::halide_generators::<name>, with the schedule in `own_schedule`. When
# cross-compiling it's that of a build for this machine, which aft-halide_generators_ROOT names.
function(aft_add_generator name own_schedule)
    set(sources aft_full_generator.cpp aft_local_generator.cpp aft_simple_generator.cpp)
    list(TRANSFORM sources PREPEND ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/)
    add_halide_generator(${name} PACKAGE_NAME aft-halide_generators PACKAGE_NAMESPACE aft::halide_generators::
                         SOURCES ${sources} ${own_schedule})
    if(TARGET ${name})
        target_compile_features(${name} PRIVATE cxx_std_17)
        target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
    endif()
endfunction()

# Reads a shape: its name in ids, the extents that a kernel is preferred for, and those that it's made for, `none` where
# the shape has none.
function(aft_parse_shape shape layer name preferred estimates)
    set(keys B T H P)
    set(extents batch seq hidden projected)
    if(layer STREQUAL local)
        list(APPEND keys s)
        list(APPEND extents window)
    endif()
    string(REPLACE "," ";" given "${shape}")
    foreach(item ${given})
        string(REGEX MATCH "^(T=[1-9][0-9]*:|[BTHP]=)[1-9][0-9]*$|^s=[0-9]+$" known "${item}")
        if(NOT known)
            message(FATAL_ERROR "aft_add_kernels: '${item}' in shape '${shape}' must be B=, T=, H=, P= or s= and a "
                                "number; T also a range, T=1:16")
        endif()
        string(REGEX MATCH "^([BTHPs])=([0-9]+)" begin "${item}")
        set(key ${CMAKE_MATCH_1})
        set(from_${key} ${CMAKE_MATCH_2})
        string(REGEX MATCH "[0-9]+$" to_${key} "${item}")
        if(from_${key} GREATER to_${key})
            message(FATAL_ERROR "aft_add_kernels: '${item}' in shape '${shape}' is an empty range")
        endif()
    endforeach()
    set(words)
    set(ranges)
    set(made_for)
    foreach(key extent IN ZIP_LISTS keys extents)
        if(NOT DEFINED from_${key})
            list(APPEND made_for none)
            continue()
        endif()
        string(TOLOWER ${key}${from_${key}} word)
        if(NOT from_${key} EQUAL to_${key})
            string(APPEND word to${to_${key}})
        endif()
        list(APPEND words ${word})
        list(APPEND made_for ${from_${key}})
        if(NOT key STREQUAL B)
            list(APPEND ranges ${extent}=${from_${key}}:${to_${key}})
        endif()
    endforeach()
    if(NOT layer STREQUAL local)
        list(APPEND made_for 1)  # no window
    endif()
    list(JOIN words _ words)
    set(${name} "${words}" PARENT_SCOPE)
    set(${preferred} "${ranges}" PARENT_SCOPE)
    set(${estimates} "${made_for}" PARENT_SCOPE)
endfunction()

# One kernel of aft_add_kernels(), of whose arguments it reads those in ARG_.
function(aft_add_kernel layer schedule shape own_schedule)
    aft_parse_shape("${shape}" ${layer} variant preferred estimates)
    aft_autoscheduler(autoscheduler ${schedule})
    if(autoscheduler)
        if(none IN_LIST estimates)
            message(FATAL_ERROR "aft_add_kernels: ${schedule} needs every extent of layer ${layer} in shape '${shape}'")
        endif()
        aft_autoscheduler_params(params ${autoscheduler} ${layer})
        set(made_by AUTOSCHEDULER Halide::${autoscheduler} ESTIMATES ${estimates} PARAMS ${params})
    elseif(schedule STREQUAL own_schedule)
        set(made_by HAND own PARAMS ${ARG_PARAMS})
    elseif(schedule MATCHES "^(packed|exact|naive|tiled)$")
        set(made_by PARAMS ${ARG_PARAMS})
    else()
        message(FATAL_ERROR "aft_add_kernels: SCHEDULES has '${schedule}', which doesn't exist")
    endif()
    aft_kernel(LAYER ${layer} DEVICE ${ARG_DEVICE} SCHEDULE ${schedule} VARIANT "${variant}" PREFERRED ${preferred}
               ${made_by})
endfunction()

function(aft_add_kernels name)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "SCHEDULE_SOURCE;DEVICE" "LAYERS;SHAPES;SCHEDULES;TARGET;PARAMS")
    if(ARG_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "aft_add_kernels: unknown arguments ${ARG_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT name MATCHES "^[A-Za-z][A-Za-z0-9_]*$" OR name STREQUAL aft)
        message(FATAL_ERROR "aft_add_kernels: the name '${name}' must be letters, digits and _, and not aft")
    endif()
    if(NOT ARG_SHAPES OR NOT (ARG_SCHEDULES OR ARG_SCHEDULE_SOURCE))
        message(FATAL_ERROR "aft_add_kernels: ${name} needs SHAPES, and SCHEDULES or a SCHEDULE_SOURCE")
    endif()
    get_property(devices GLOBAL PROPERTY AFT_DEVICES)
    if(NOT ARG_DEVICE)
        set(ARG_DEVICE cpu)
    elseif(NOT ARG_DEVICE IN_LIST devices)
        message(FATAL_ERROR "aft_add_kernels: DEVICE is ${ARG_DEVICE}, must be one that aft was built for: ${devices}")
    endif()

    aft_find_halide()
    set(AFT_TABLE ${name})
    if(ARG_TARGET)
        set(AFT_TARGETS ${ARG_TARGET})
    elseif(CMAKE_CROSSCOMPILING)
        set(AFT_TARGETS cmake)  # Halide's word for what CMake compiles for
    else()
        set(AFT_TARGETS host)
    endif()
    set(AFT_SCHEDULES all)
    get_property(AFT_CUDA_CAPABILITY GLOBAL PROPERTY AFT_CUDA_CAPABILITY)
    set(AFT_RUNTIME aft::aft)  # it has Halide's
    set(own_schedule)
    if(ARG_SCHEDULE_SOURCE)
        get_filename_component(source ${ARG_SCHEDULE_SOURCE} ABSOLUTE)
        get_filename_component(own_schedule ${ARG_SCHEDULE_SOURCE} NAME_WE)
        set(generator ${name}_generator)
    else()
        set(source ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/no_own_schedule.cpp)
        set(generator aft_generator)
    endif()
    set(AFT_GENERATOR aft::halide_generators::${generator})
    if(NOT TARGET ${AFT_GENERATOR})
        aft_add_generator(${generator} ${source})
    endif()

    set(layers full simple local)
    if(ARG_LAYERS)
        set(layers ${ARG_LAYERS})
    endif()
    foreach(layer ${layers})
        if(NOT layer MATCHES "^(full|simple|local)$")
            message(FATAL_ERROR "aft_add_kernels: LAYERS has '${layer}', must be full, simple or local")
        endif()
        foreach(schedule ${own_schedule} ${ARG_SCHEDULES})
            # AFTSimple has no position bias: its softmax is exact in every schedule.
            if(NOT (layer STREQUAL simple AND schedule STREQUAL exact))
                foreach(shape ${ARG_SHAPES})
                    aft_add_kernel(${layer} ${schedule} "${shape}" "${own_schedule}")
                endforeach()
            endif()
        endforeach()
    endforeach()
    aft_finish_kernels(${name} ADDED)
endfunction()
