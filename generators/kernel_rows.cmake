# What a row of the table becomes.

add_halide_runtime(aft_halide_runtime TARGETS ${AFT_TARGET})

# What a device adds to the target. A CUDA target must name a capability: without one, Halide means sm_20.
set(AFT_FEATURES_cpu)
set(AFT_FEATURES_cuda cuda cuda_capability_${AFT_CUDA_CAPABILITY})
set(AFT_FEATURES_opencl opencl)
set(AFT_FEATURES_vulkan vulkan vk_v13)

# Adds the library `name` made by `generator`, once. The statement that it was lowered to, and the schedule that an
# autoscheduler found, are left beside it in the build tree, and so is the code for the device.
function(aft_library name generator device)
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
        TARGETS ${AFT_TARGET}
        FEATURES user_context ${AFT_FEATURES_${device}}
        USE_RUNTIME aft_halide_runtime
        PARAMS ${ARG_PARAMS}
        STMT statement_file
        ${options})
endfunction()

function(aft_kernel)
    cmake_parse_arguments(ROW "" "LAYER;DEVICE;SCHEDULE;HAND;AUTOSCHEDULER;VARIANT" "ESTIMATES;PREFERRED;PARAMS" ${ARGN})
    if(NOT AFT_SCHEDULES STREQUAL "all" AND NOT ROW_SCHEDULE IN_LIST AFT_SCHEDULES)
        return()
    endif()
    set(id aft_${ROW_LAYER}_${ROW_DEVICE}_${ROW_SCHEDULE})
    if(ROW_VARIANT)
        string(APPEND id _${ROW_VARIANT})
    endif()
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
        set(prepare aft_${ROW_LAYER}_flat_prepare)
        aft_library(${prepare} aft_${ROW_LAYER}_prepare cpu PARAMS schedule=naive)
    else()
        set(prepare ${id}_prepare)
        aft_library(${prepare} aft_${ROW_LAYER}_prepare cpu PARAMS schedule=${hand} device=${ROW_DEVICE} ${ROW_PARAMS})
    endif()
    aft_library(${id} aft_${ROW_LAYER}_forward ${ROW_DEVICE} ${options}
                PARAMS schedule=${hand} device=${ROW_DEVICE} ${ROW_PARAMS})

    set_property(GLOBAL APPEND PROPERTY AFT_KERNEL_LIBRARIES ${id} ${prepare})
    string(JOIN ", " row "\"${id}\"" "LayerKind::${ROW_LAYER}" "\"${ROW_DEVICE}\"" "\"${ROW_SCHEDULE}\"" ${any_bias_range}
           "{${preferred}}" ${prepare}_argv ${prepare}_metadata ${id}_argv ${id}_metadata)
    set_property(GLOBAL APPEND_STRING PROPERTY AFT_KERNEL_ROWS "    {${row}},\n")
endfunction()

# Writes the registry's table and gathers the libraries in `aft_kernels`.
function(aft_finish_kernels)
    get_property(libraries GLOBAL PROPERTY AFT_KERNEL_LIBRARIES)
    get_property(AFT_KERNEL_ROWS GLOBAL PROPERTY AFT_KERNEL_ROWS)
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
