# What a row of the table becomes: a kernel, or one for each of several targets.

# The name of each target in the ids of its kernels: its last word, which is the last feature, or the architecture where
# there is none. A build for one target names none.
set(aft_isas)
list(LENGTH AFT_TARGETS count)
if(count GREATER 1)
    foreach(target ${AFT_TARGETS})
        string(REGEX MATCH "[^-]+$" isa ${target})
        if(target MATCHES "^([^-]+)-[0-9]+-[^-]+$")
            set(isa ${CMAKE_MATCH_1})
        endif()
        if(isa IN_LIST aft_isas)
            message(FATAL_ERROR "AFT_TARGETS: several targets have the name ${isa}: ${AFT_TARGETS}")
        endif()
        list(APPEND aft_isas ${isa})
    endforeach()
endif()

# The last target is that of the runtime, and of what a GPU kernel does on the CPU.
list(GET AFT_TARGETS -1 aft_baseline)
add_halide_runtime(aft_halide_runtime TARGETS ${aft_baseline})

# What a device adds to the target. A CUDA target must name a capability: without one, Halide means sm_20.
set(AFT_FEATURES_cpu)
set(AFT_FEATURES_cuda cuda cuda_capability_${AFT_CUDA_CAPABILITY})
set(AFT_FEATURES_opencl opencl)
set(AFT_FEATURES_vulkan vulkan vk_v13)

# Adds the library `name` made by `generator`, once. The statement that it was lowered to, and the schedule that an
# autoscheduler found, are left beside it in the build tree, and so is the code for the device.
function(aft_library name generator device target)
    if(TARGET ${name})
        return()
    endif()
    cmake_parse_arguments(ARG "" "AUTOSCHEDULER" "PARAMS" ${ARGN})
    set(options)
    if(ARG_AUTOSCHEDULER)
        list(APPEND options AUTOSCHEDULER ${ARG_AUTOSCHEDULER} SCHEDULE schedule_file)
    endif()
    if(device STREQUAL cuda)
        list(APPEND options DEVICE_CODE device_code_file)
    endif()
    add_halide_library(
        ${name} FROM aft_generator
        GENERATOR ${generator}
        TARGETS ${target}
        FEATURES user_context ${AFT_FEATURES_${device}}
        USE_RUNTIME aft_halide_runtime
        PARAMS ${ARG_PARAMS}
        STMT statement_file
        ${options})
endfunction()

# A kernel and its row of the registry. isa: the target's name, or empty.
function(aft_kernel_for target isa)
    cmake_parse_arguments(ROW "" "LAYER;DEVICE;SCHEDULE;HAND;AUTOSCHEDULER;VARIANT" "ESTIMATES;PREFERRED;PARAMS" ${ARGN})
    if(NOT AFT_SCHEDULES STREQUAL "all" AND NOT ROW_SCHEDULE IN_LIST AFT_SCHEDULES)
        return()
    endif()
    set(id aft_${ROW_LAYER}_${ROW_DEVICE}_${ROW_SCHEDULE})
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
        string(JOIN _ prepare aft_${ROW_LAYER}_flat_prepare ${isa})
        aft_library(${prepare} aft_${ROW_LAYER}_prepare cpu ${target} PARAMS schedule=naive)
    else()
        set(prepare ${library}_prepare)
        aft_library(${prepare} aft_${ROW_LAYER}_prepare cpu ${target}
                    PARAMS schedule=${hand} device=${ROW_DEVICE} ${ROW_PARAMS})
    endif()
    aft_library(${library} aft_${ROW_LAYER}_forward ${ROW_DEVICE} ${target} ${options}
                PARAMS schedule=${hand} device=${ROW_DEVICE} ${ROW_PARAMS})

    set_property(GLOBAL APPEND PROPERTY AFT_KERNEL_LIBRARIES ${library} ${prepare})
    string(JOIN ", " row "\"${id}\"" "LayerKind::${ROW_LAYER}" "\"${ROW_DEVICE}\"" "\"${ROW_SCHEDULE}\"" ${any_bias_range}
           "{${preferred}}" ${prepare}_argv ${prepare}_metadata ${library}_argv ${library}_metadata)
    set_property(GLOBAL APPEND_STRING PROPERTY AFT_KERNEL_ROWS_${target} "    {${row}},\n")
endfunction()

# A row of the table: on the CPU, a kernel for each target.
function(aft_kernel)
    cmake_parse_arguments(ROW "" "DEVICE" "" ${ARGN})
    foreach(target isa IN ZIP_LISTS AFT_TARGETS aft_isas)
        if(ROW_DEVICE STREQUAL cpu OR target STREQUAL aft_baseline)
            aft_kernel_for(${target} "${isa}" ${ARGN})
        endif()
    endforeach()
endfunction()

# Writes the registry's table, target after target, and gathers the libraries in `aft_kernels`.
function(aft_finish_kernels)
    get_property(libraries GLOBAL PROPERTY AFT_KERNEL_LIBRARIES)
    foreach(target ${AFT_TARGETS})
        get_property(rows GLOBAL PROPERTY AFT_KERNEL_ROWS_${target})
        string(APPEND AFT_KERNEL_ROWS "${rows}")
    endforeach()
    list(REMOVE_DUPLICATES libraries)
    foreach(library ${libraries})
        string(APPEND AFT_KERNEL_DECLARATIONS
               "int ${library}_argv(void **);\nconst halide_filter_metadata_t *${library}_metadata();\n")
    endforeach()
    configure_file(kernel_table.cpp.in kernel_table.cpp @ONLY)
    add_library(aft_kernels STATIC ${CMAKE_CURRENT_BINARY_DIR}/kernel_table.cpp)
    target_include_directories(aft_kernels PRIVATE ${PROJECT_SOURCE_DIR}/runtime ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(aft_kernels PUBLIC ${libraries} aft_halide_runtime)
endfunction()
