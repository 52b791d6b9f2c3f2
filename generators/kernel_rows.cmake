# What a row of a table becomes: a kernel, or one for each of several targets.
#
# A table is the library's own, or one of aft_add_kernels(). The functions below find in the scope of their caller
#   AFT_TABLE      its name, with which ids and symbols begin
#   AFT_TARGETS    Halide targets, the best first
#   AFT_SCHEDULES  the schedules whose rows count, or all
#   AFT_CUDA_CAPABILITY  of CUDA kernels
#   AFT_GENERATOR  the program that makes the kernels
#   AFT_RUNTIME    what has Halide's runtime for them
# and in the global property AFT_RUNTIME_NAMES the file of the names in it, which own_runtime.cmake wrote.

# The name of each target in the ids of its kernels: its last word, which is the last feature, or the architecture where
# there is none. A table for one target names none.
function(aft_isas out)
    set(isas)
    list(LENGTH AFT_TARGETS count)
    if(count GREATER 1)
        foreach(target ${AFT_TARGETS})
            string(REGEX MATCH "[^-]+$" isa ${target})
            if(target MATCHES "^([^-]+)-[0-9]+-[^-]+$")
                set(isa ${CMAKE_MATCH_1})
            endif()
            if(isa IN_LIST isas)
                message(FATAL_ERROR "Several targets have the name ${isa}: ${AFT_TARGETS}")
            endif()
            list(APPEND isas ${isa})
        endforeach()
    endif()
    set(${out} ${isas} PARENT_SCOPE)
endfunction()

# Stops unless there is what changes names in objects.
function(aft_check_binutils)
    if(NOT CMAKE_NM OR NOT CMAKE_OBJCOPY)
        message(FATAL_ERROR "Kernels need nm and objcopy, of GNU binutils or of LLVM: CMAKE_NM is '${CMAKE_NM}', "
                            "CMAKE_OBJCOPY is '${CMAKE_OBJCOPY}'")
    endif()
endfunction()

# Adds the library `name` made by `generator`, once. The statement that it was lowered to, and the schedule that an
# autoscheduler found, are left beside it in the build tree, and so is the code for the device.
function(aft_library name generator device target)
    if(TARGET ${name})
        return()
    endif()
    cmake_parse_arguments(ARG "" "AUTOSCHEDULER" "PARAMS" ${ARGN})
    # What a device adds to the target. A CUDA target must name a capability: without one, Halide means sm_20.
    set(features_cpu)
    set(features_cuda cuda cuda_capability_${AFT_CUDA_CAPABILITY})
    set(features_opencl opencl)
    set(features_vulkan vulkan vk_v13)
    set(options)
    if(ARG_AUTOSCHEDULER)
        list(APPEND options AUTOSCHEDULER ${ARG_AUTOSCHEDULER} SCHEDULE schedule_file)
    endif()
    if(device STREQUAL cuda)
        list(APPEND options DEVICE_CODE device_code_file)
    endif()
    add_halide_library(
        ${name} FROM ${AFT_GENERATOR}
        GENERATOR ${generator}
        TARGETS ${target}
        FEATURES user_context ${features_${device}}
        USE_RUNTIME ${AFT_RUNTIME}
        PARAMS ${ARG_PARAMS}
        STMT statement_file
        ${options})
    get_target_property(imported ${name} IMPORTED)  # for a platform that isn't CMake's: nothing is linked to it
    if(NOT imported)
        aft_check_binutils()
        get_property(names GLOBAL PROPERTY AFT_RUNTIME_NAMES)
        if(TARGET aft_halide_runtime)
            add_dependencies(${name} aft_halide_runtime)  # by whose build the names are written
        endif()
        add_custom_command(TARGET ${name} POST_BUILD
                           COMMAND ${CMAKE_OBJCOPY} --redefine-syms=${names} $<TARGET_FILE:${name}> VERBATIM)
    endif()
endfunction()

# A kernel and its row of the registry. isa: the target's name, or empty.
function(aft_kernel_for target isa)
    cmake_parse_arguments(ROW "" "LAYER;DEVICE;SCHEDULE;HAND;AUTOSCHEDULER;VARIANT" "ESTIMATES;PREFERRED;PARAMS" ${ARGN})
    if(NOT AFT_SCHEDULES STREQUAL "all" AND NOT ROW_SCHEDULE IN_LIST AFT_SCHEDULES)
        return()
    endif()
    set(id ${AFT_TABLE}_${ROW_LAYER}_${ROW_DEVICE}_${ROW_SCHEDULE})
    if(ROW_VARIANT)
        string(APPEND id _${ROW_VARIANT})
    endif()
    if(isa AND ROW_DEVICE STREQUAL cpu)
        string(APPEND id @${isa})
    endif()
    string(REPLACE @ _ library ${id})
    set(options)
    if(ROW_AUTOSCHEDULER)
        set(hand naive)
        set(options AUTOSCHEDULER ${ROW_AUTOSCHEDULER})
        foreach(extent batch seq hidden projected window)
            list(POP_FRONT ROW_ESTIMATES estimate)
            list(APPEND ROW_PARAMS estimated_${extent}=${estimate})
        endforeach()
    elseif(ROW_HAND)
        set(hand ${ROW_HAND})
    else()
        set(hand ${ROW_SCHEDULE})
    endif()
    set(any_bias_range false)
    if(hand STREQUAL exact OR ROW_LAYER STREQUAL simple)
        set(any_bias_range true)
    endif()
    set(preferred)
    foreach(extent seq hidden projected window)
        set(range)
        foreach(given ${ROW_PREFERRED})
            if(given MATCHES "^${extent}=([0-9]+):([0-9]+)$")
                set(range "${CMAKE_MATCH_1}, ${CMAKE_MATCH_2}")
            endif()
        endforeach()
        list(APPEND preferred "{${range}}")
    endforeach()
    list(JOIN preferred ", " preferred)
    # Parameters are prepared on the CPU. Kernels in the flat form share one way to prepare; one in panels has its own,
    # with its own tiles.
    if(hand STREQUAL naive)
        string(JOIN _ prepare ${AFT_TABLE}_${ROW_LAYER}_flat_prepare ${isa})
        aft_library(${prepare} aft_${ROW_LAYER}_prepare cpu ${target} PARAMS schedule=naive)
    else()
        set(prepare ${library}_prepare)
        aft_library(${prepare} aft_${ROW_LAYER}_prepare cpu ${target}
                    PARAMS schedule=${hand} device=${ROW_DEVICE} ${ROW_PARAMS})
    endif()
    aft_library(${library} aft_${ROW_LAYER}_forward ${ROW_DEVICE} ${target} ${options}
                PARAMS schedule=${hand} device=${ROW_DEVICE} ${ROW_PARAMS})

    set_property(GLOBAL APPEND PROPERTY ${AFT_TABLE}_KERNEL_LIBRARIES ${library} ${prepare})
    string(JOIN ", " row "\"${id}\"" "aft_${ROW_LAYER}" "\"${ROW_DEVICE}\"" "\"${ROW_SCHEDULE}\"" ${any_bias_range}
           "{${preferred}}" ${prepare}_argv ${prepare}_metadata ${library}_argv ${library}_metadata)
    set_property(GLOBAL APPEND_STRING PROPERTY ${AFT_TABLE}_KERNEL_ROWS_${target} "    {${row}},\n")
endfunction()

# A row of the table: on the CPU, a kernel for each target. The last target is that of what a GPU kernel does on the CPU.
function(aft_kernel)
    cmake_parse_arguments(ROW "" "DEVICE" "" ${ARGN})
    aft_isas(isas)
    list(GET AFT_TARGETS -1 baseline)
    foreach(target isa IN ZIP_LISTS AFT_TARGETS isas)
        if(ROW_DEVICE STREQUAL cpu OR target STREQUAL baseline)
            aft_kernel_for(${target} "${isa}" ${ARGN})
        endif()
    endforeach()
endfunction()

# Gathers the kernels of the table, target after target, in the static library `library`. ADDED: they're not the
# library's own, and what links to `library` makes them known to the registry.
function(aft_finish_kernels library)
    cmake_parse_arguments(ARG "ADDED" "" "" ${ARGN})
    get_property(kernels GLOBAL PROPERTY ${AFT_TABLE}_KERNEL_LIBRARIES)
    if(NOT kernels)
        message(FATAL_ERROR "${library} has no kernels: no row is of a schedule and a device that are asked for")
    endif()
    set(AFT_KERNEL_ROWS)
    foreach(target ${AFT_TARGETS})
        get_property(rows GLOBAL PROPERTY ${AFT_TABLE}_KERNEL_ROWS_${target})
        string(APPEND AFT_KERNEL_ROWS "${rows}")
    endforeach()
    list(REMOVE_DUPLICATES kernels)
    set(AFT_KERNEL_DECLARATIONS)
    foreach(kernel ${kernels})
        string(APPEND AFT_KERNEL_DECLARATIONS
               "int ${kernel}_argv(void **);\nconst halide_filter_metadata_t *${kernel}_metadata();\n")
    endforeach()
    if(ARG_ADDED)
        string(CONCAT AFT_KERNEL_TABLE "static KernelTable table = {rows, count, nullptr};\n"
                      "extern \"C\" const bool ${library}_added = add_kernels(table);")
    else()
        set(AFT_KERNEL_TABLE "const KernelTable own_kernels = {rows, count, nullptr};")
    endif()
    set(table ${CMAKE_CURRENT_BINARY_DIR}/${library}_table.cpp)
    configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/kernel_table.cpp.in ${table} @ONLY)
    add_library(${library} STATIC ${table})
    target_compile_features(${library} PRIVATE cxx_std_17)
    target_include_directories(${library} PRIVATE ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../runtime)
    target_link_libraries(${library} PUBLIC ${kernels} ${AFT_RUNTIME})
    if(ARG_ADDED)
        # Nothing refers to the table, and a linker takes of an archive what something refers to.
        target_link_options(${library} INTERFACE LINKER:-u,$<$<PLATFORM_ID:Darwin>:_>${library}_added)
    endif()
endfunction()
