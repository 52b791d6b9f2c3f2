# A program's own kernels: for its own shapes and target, by the library's schedules or one of its own. Needs Halide.
#
#   aft_add_kernels(<name>
#       SHAPES <shape>...            "B=1,T=512,H=256,P=256" and, for local, ",s=32". A layer runs these kernels at
#                                    these extents and, but for B, at no others. T may be a range, T=1:16. For schedules
#                                    by hand each extent may be left out, which means any.
#       SCHEDULES <schedule>...      packed, exact, naive or an autoscheduler: adams2019, mullapudi2016, li2018; on GPUs
#                                    tiled, exact, naive, on cuda and opencl li2018, and on cuda anderson2021.
#                                    Autoscheduled kernels take no extents below those of the shape, B included.
#       [SCHEDULE_SOURCE <file>]     a schedule of the program's own, named like the file (generators/schedules/own.h)
#       [LAYERS full|local|simple...]        default: all
#       [DEVICE cpu|cuda|opencl|vulkan]      default: cpu
#       [STORAGE float32|bfloat16|int8]      default: float32; the others for packed only, and run only by name
#       [TARGET <Halide target>...]          the best first; default: this machine, or what CMake compiles for
#       [PARAMS <name>=<value>...])          of the generator, for schedules by hand: tile_rows=6
#
# makes the static library <name>. In a program that links to it, aft::kernels() has its kernels before the library's
# own, and aft::Layer prefers them: in the order of the schedules (that of SCHEDULE_SOURCE first), then of the shapes.
# Their ids are <name>_<layer>_<device>_<schedule>_<shape>.
include(${CMAKE_CURRENT_LIST_DIR}/halide.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/table/rows.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/table/shape.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/table/registry.cmake)

# Adds a row to the table `name`. `own`: whether the schedule is the program's own. `exact` is an algorithm, which the
# device's schedule by hand evaluates.
function(aft_add_kernel name layer schedule own shape device storage)
    aft_parse_shape("${shape}" ${layer} variant preferred estimates)
    aft_algorithms(algorithms forward ${layer})
    list(GET algorithms 0 algorithm)
    set(by ${schedule})
    set(params ${ARGN})
    if(own)
        set(by own)
    elseif(schedule STREQUAL "exact")
        set(algorithm exact)
        set(schedule tiled)
        if(device STREQUAL "cpu")
            set(schedule packed)
        endif()
        set(by ${schedule})
    endif()
    aft_schedule_refusal(refusal forward ${by} ${algorithm} ${device} ${storage})
    if(refusal)
        message(FATAL_ERROR "aft_add_kernels: ${refusal}")
    endif()
    aft_autoscheduler(autoscheduler ${by})
    if(NOT autoscheduler)
        set(estimates)
    elseif("none" IN_LIST estimates)
        message(FATAL_ERROR "aft_add_kernels: ${schedule} needs every extent of layer ${layer} in shape '${shape}'")
    else()
        set(params)
    endif()
    if(storage STREQUAL "bfloat16")
        string(JOIN _ variant bf16 ${variant})
    elseif(storage STREQUAL "int8")
        string(JOIN _ variant int8 ${variant})
    endif()
    aft_kernel(${name} OPERATION forward LAYER ${layer} ALGORITHM ${algorithm} SCHEDULE ${schedule} BY ${by}
               STORAGE ${storage} DEVICE ${device} VARIANT ${variant} ESTIMATES ${estimates} PREFERRED ${preferred}
               PARAMS ${params})
endfunction()

function(aft_add_kernels name)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "SCHEDULE_SOURCE;DEVICE;STORAGE" "LAYERS;SHAPES;SCHEDULES;TARGET;PARAMS")
    if(ARG_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "aft_add_kernels: unknown arguments ${ARG_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT name MATCHES "^[A-Za-z][A-Za-z0-9_]*$" OR name STREQUAL "aft")
        message(FATAL_ERROR "aft_add_kernels: the name '${name}' must be letters, digits and _, and not aft")
    endif()
    if(NOT ARG_SHAPES OR NOT (ARG_SCHEDULES OR ARG_SCHEDULE_SOURCE))
        message(FATAL_ERROR "aft_add_kernels: ${name} needs SHAPES, and SCHEDULES or a SCHEDULE_SOURCE")
    endif()
    get_property(devices GLOBAL PROPERTY AFT_DEVICES)
    set(device cpu)
    if(ARG_DEVICE)
        set(device ${ARG_DEVICE})
        if(NOT device IN_LIST devices)
            message(FATAL_ERROR "aft_add_kernels: DEVICE is ${device}, must be one that aft was built for: ${devices}")
        endif()
    endif()
    set(storage float32)
    if(ARG_STORAGE)
        set(storage ${ARG_STORAGE})
    endif()
    aft_schedules(schedules)
    foreach(schedule ${ARG_SCHEDULES})
        if(schedule STREQUAL "own" OR NOT schedule IN_LIST schedules AND NOT schedule STREQUAL "exact")
            message(FATAL_ERROR "aft_add_kernels: SCHEDULES has '${schedule}', which doesn't exist")
        endif()
    endforeach()
    aft_layers(all_layers forward)
    set(layers ${all_layers})
    if(ARG_LAYERS)
        set(layers ${ARG_LAYERS})
    endif()
    foreach(layer ${layers})
        aft_algorithms(algorithms forward ${layer})
        if(NOT algorithms)
            list(JOIN all_layers ", " all_layers)
            message(FATAL_ERROR "aft_add_kernels: LAYERS has '${layer}', must be one of ${all_layers}")
        endif()
    endforeach()
    set(targets host)
    if(ARG_TARGET)
        set(targets ${ARG_TARGET})
    elseif(CMAKE_CROSSCOMPILING)
        set(targets cmake)  # Halide's word for what CMake compiles for
    endif()

    aft_find_halide()
    set(own_schedule)
    if(ARG_SCHEDULE_SOURCE)
        get_filename_component(source ${ARG_SCHEDULE_SOURCE} ABSOLUTE)
        get_filename_component(own_schedule ${ARG_SCHEDULE_SOURCE} NAME_WE)
        set(generator ${name}_generator)
    else()
        set(source ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/no_own_schedule.cpp)
        set(generator aft_generator)
    endif()
    if(NOT TARGET aft::halide_generators::${generator})
        aft_add_generator(${generator} ${source} forward prepare)
    endif()
    get_property(capability GLOBAL PROPERTY AFT_CUDA_CAPABILITY)
    aft_begin_kernels(
        ${name}
        DEVICES ${device}
        SCHEDULES all
        TARGETS ${targets}
        CUDA_CAPABILITY ${capability}
        GENERATOR aft::halide_generators::${generator}
        RUNTIME aft::aft)  # it has Halide's
    foreach(layer ${layers})
        aft_algorithms(algorithms forward ${layer})
        foreach(schedule ${own_schedule} ${ARG_SCHEDULES})
            if(schedule STREQUAL "exact" AND NOT "exact" IN_LIST algorithms)
                continue()
            endif()
            set(own FALSE)
            if(schedule STREQUAL own_schedule)
                set(own TRUE)
            endif()
            foreach(shape ${ARG_SHAPES})
                aft_add_kernel(${name} ${layer} ${schedule} ${own} "${shape}" ${device} ${storage} ${ARG_PARAMS})
            endforeach()
        endforeach()
    endforeach()
    aft_finish_kernels(${name} ${name} ADDED)
endfunction()

# Adds `name`, the program that makes a program's own pipelines: the generators in SOURCES, whose code may include the
# library's (forms/panels.h, algorithms/linear.h, ...), and those of PIPELINES that the library has (prepare_linear).
function(aft_add_pipeline_generator name)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;PIPELINES")
    set(folder ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
    list(TRANSFORM ARG_PIPELINES REPLACE "(.+)" "${folder}/\\1_generator.cpp")
    add_halide_generator(${name} SOURCES ${ARG_SOURCES} ${ARG_PIPELINES} ${folder}/no_own_schedule.cpp)
    if(TARGET ${name})
        target_include_directories(${name} PRIVATE ${folder})
        set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
        aft_compile_generator(${name})
    endif()
endfunction()

# Adds the library `name`, a pipeline of a program's own that runs on the library's threads and with its memory, once the
# program has made an aft::Layer or an aft::Core. Arguments are those of add_halide_library(). The program must link to
# aft::aft, the static library.
function(aft_add_pipeline name)
    set(runtime aft::aft)  # it has Halide's
    if(TARGET aft_halide_runtime)
        set(runtime aft_halide_runtime)
    endif()
    add_halide_library(${name} ${ARGN} USE_RUNTIME ${runtime})
    set_target_properties(${name} PROPERTIES SYSTEM TRUE)  # the generated header is nothing for a linter
    aft_use_own_runtime(${name})
    if(TARGET aft_pipelines)
        add_dependencies(aft_pipelines ${name})
    endif()
endfunction()
