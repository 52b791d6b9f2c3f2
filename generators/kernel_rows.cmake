# What a row of the table becomes.

set(AFT_KERNEL_ROWS "")
set(AFT_KERNEL_DECLARATIONS "")
set(AFT_KERNEL_LIBRARIES "")
# Extents that autoscheduled kernels are made for and above which they hold.
set(AFT_ESTIMATES estimated_batch=2 estimated_seq=192 estimated_hidden=192 estimated_projected=192 estimated_window=32)

add_halide_runtime(aft_halide_runtime TARGETS ${AFT_TARGET})

# Adds the library `name` made by `generator`, once.
function(aft_library name generator)
    if(TARGET ${name})
        return()
    endif()
    cmake_parse_arguments(ARG "" "AUTOSCHEDULER" "PARAMS" ${ARGN})
    set(options)
    if(ARG_AUTOSCHEDULER)
        list(APPEND options AUTOSCHEDULER ${ARG_AUTOSCHEDULER} SCHEDULE schedule_file)
    endif()
    add_halide_library(
        ${name} FROM aft_generator
        GENERATOR ${generator}
        TARGETS ${AFT_TARGET}
        FEATURES user_context
        USE_RUNTIME aft_halide_runtime
        PARAMS ${ARG_PARAMS}
        STMT stmt_file
        ${options})
endfunction()

macro(aft_kernel)
    cmake_parse_arguments(ROW "" "LAYER;SCHEDULE;HAND;AUTOSCHEDULER;VARIANT" "PARAMS" ${ARGN})
    if(AFT_SCHEDULES STREQUAL "all" OR ROW_SCHEDULE IN_LIST AFT_SCHEDULES)
        set(id aft_${ROW_LAYER}_cpu_${ROW_SCHEDULE})
        if(ROW_VARIANT)
            string(APPEND id _${ROW_VARIANT})
        endif()
        if(ROW_AUTOSCHEDULER)
            set(hand naive)
        elseif(ROW_HAND)
            set(hand ${ROW_HAND})
        else()
            set(hand ${ROW_SCHEDULE})
        endif()
        set(any_bias_range false)
        if(hand STREQUAL exact OR ROW_LAYER STREQUAL simple)
            set(any_bias_range true)
        endif()
        # Kernels in the flat form share one way to prepare; a tiled one has its own, with its own tiles.
        if(hand STREQUAL naive)
            set(prepare aft_${ROW_LAYER}_cpu_flat_prepare)
            aft_library(${prepare} aft_${ROW_LAYER}_prepare PARAMS schedule=naive)
        else()
            set(prepare ${id}_prepare)
            aft_library(${prepare} aft_${ROW_LAYER}_prepare PARAMS schedule=${hand} ${ROW_PARAMS})
        endif()
        set(params schedule=${hand} ${ROW_PARAMS})
        set(autoscheduler)
        if(ROW_AUTOSCHEDULER)
            list(APPEND params ${AFT_ESTIMATES})
            set(autoscheduler AUTOSCHEDULER ${ROW_AUTOSCHEDULER})
        endif()
        aft_library(${id} aft_${ROW_LAYER}_forward ${autoscheduler} PARAMS ${params})

        list(APPEND AFT_KERNEL_LIBRARIES ${id} ${prepare})
        foreach(function ${id} ${prepare})
            string(APPEND AFT_KERNEL_DECLARATIONS
                   "int ${function}_argv(void **);\nconst halide_filter_metadata_t *${function}_metadata();\n")
        endforeach()
        string(APPEND AFT_KERNEL_ROWS
               "    {\"${id}\", LayerKind::${ROW_LAYER}, \"cpu\", \"${ROW_SCHEDULE}\", ${any_bias_range},\n"
               "     ${prepare}_argv, ${prepare}_metadata, ${id}_argv, ${id}_metadata},\n")
    endif()
endmacro()

# Writes the registry's table and gathers the libraries in `aft_kernels`.
macro(aft_finish_kernels)
    list(REMOVE_DUPLICATES AFT_KERNEL_LIBRARIES)
    configure_file(${CMAKE_CURRENT_LIST_DIR}/kernel_table.cpp.in kernel_table.cpp @ONLY)
    add_library(aft_kernels STATIC ${CMAKE_CURRENT_BINARY_DIR}/kernel_table.cpp)
    target_include_directories(aft_kernels PRIVATE ${PROJECT_SOURCE_DIR}/runtime ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(aft_kernels PUBLIC ${AFT_KERNEL_LIBRARIES} aft_halide_runtime)
endmacro()
