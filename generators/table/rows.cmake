# The rows of a table of kernels. A table is the library's own, `aft`, or one of aft_add_kernels(). Each row is one
# kernel, with these columns:
#
#   OPERATION   an operation of algorithms.cmake, whose generator is aft_<operation>
#   LAYER       a layer that it has there, none for an operation that serves all forms
#   ALGORITHM   one of its algorithms
#   SCHEDULE    packed, tiled, naive, an autoscheduler, tuned, or the name of a program's own schedule
#   BY          the schedule that makes the kernel, where SCHEDULE is only a name: a tuned kernel is made by packed or
#               adams2019, and a program's own schedule is `own`
#   STORAGE     float32 or bfloat16, in which the kernel keeps weights, exponentials of the bias and sources; int8, of
#               weights alone
#   DEVICE      cpu, cuda, opencl or vulkan
#   VARIANT     the end of the id, where several rows have the same layer, device and schedule
#   ESTIMATES   batch, seq, hidden, projected and window that an autoscheduled kernel is made for, and takes none below
#   PREFERRED   <extent>=<from>:<to>, extents that the kernel is for, of seq, hidden, projected and window; default: all
#   PARAMS      <name>=<value>, further parameters of the generator or the autoscheduler, such as tile_rows=6
#   TARGET, ISA the Halide target, and its name in ids: filled in from the targets of the table
#
# A kernel's id is <table>[_<operation>][_<layer>]_<device>_<name>[_<variant>][@<isa>], without the operation forward and
# the layer none. Its name is `exact` for the algorithm exact, the schedule for the others.
include(${CMAKE_CURRENT_LIST_DIR}/../algorithms.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/schedules.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/missing.cmake)

# Begins an empty table.
#   DEVICES, SCHEDULES   rows of other devices and other names are left out; SCHEDULES may be `all`
#   TARGETS              Halide targets, the best first
#   CUDA_CAPABILITY      compute capability of CUDA kernels
#   GENERATOR            the program that makes the kernels
#   RUNTIME              the library that has Halide's runtime for them
function(aft_begin_kernels table)
    set(settings DEVICES SCHEDULES TARGETS CUDA_CAPABILITY GENERATOR RUNTIME)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "${settings}")
    foreach(setting ${settings})
        set_property(GLOBAL PROPERTY AFT_${table}_${setting} ${ARG_${setting}})
    endforeach()
    set_property(GLOBAL PROPERTY AFT_${table}_KERNELS "")
endfunction()

# Puts a setting of aft_begin_kernels(), or KERNELS, the ids of the rows, into `out`.
function(aft_get out table setting)
    get_property(value GLOBAL PROPERTY AFT_${table}_${setting})
    set(${out} "${value}" PARENT_SCOPE)
endfunction()

# Puts columns into the caller's ROW_<column>.
macro(aft_parse_row)
    cmake_parse_arguments(ROW "" "OPERATION;LAYER;ALGORITHM;SCHEDULE;BY;STORAGE;DEVICE;VARIANT;TARGET;ISA"
                          "ESTIMATES;PREFERRED;PARAMS" ${ARGN})
endmacro()

# Puts the columns of the kernel `id` into the caller's ROW_<column>.
macro(aft_get_row id)
    get_property(ROW_columns GLOBAL PROPERTY AFT_KERNEL_${id})
    aft_parse_row(${ROW_columns})
endmacro()

# The words in a kernel's id that say what it computes.
function(aft_subject out operation layer)
    set(words ${operation} ${layer})
    list(REMOVE_ITEM words forward none)
    list(JOIN words _ words)
    set(${out} ${words} PARENT_SCOPE)
endfunction()

# The word in a kernel's id by which aft_begin_kernels() and aft_add_kernels() select it.
function(aft_kernel_name out algorithm schedule)
    set(name ${schedule})
    if(algorithm STREQUAL "exact")
        set(name exact)
    endif()
    set(${out} ${name} PARENT_SCOPE)
endfunction()

# The name of each target in the ids of its kernels: its last word, which is its last feature, or the architecture if it
# has none. A single target has no name.
function(aft_isas out)
    set(isas)
    if(ARGC GREATER 2)
        foreach(target ${ARGN})
            string(REGEX MATCH "[^-]+$" isa ${target})
            if(target MATCHES "^([^-]+)-[0-9]+-[^-]+$")
                set(isa ${CMAKE_MATCH_1})
            endif()
            if(isa IN_LIST isas)
                message(FATAL_ERROR "Several targets have the name ${isa}: ${ARGN}")
            endif()
            list(APPEND isas ${isa})
        endforeach()
    endif()
    set(${out} "${isas}" PARENT_SCOPE)
endfunction()

# Stops if a row says what can't be. `kernel`: its id, for the message.
function(aft_check_row kernel)
    aft_parse_row(${ARGN})
    if(ROW_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "${kernel}: unknown columns ${ROW_UNPARSED_ARGUMENTS}")
    endif()
    aft_layers(layers "${ROW_OPERATION}")
    if(NOT layers)
        aft_algorithm_column(operations operation)
        list(JOIN operations ", " operations)
        message(FATAL_ERROR "${kernel}: OPERATION is '${ROW_OPERATION}', must be one of ${operations}")
    endif()
    aft_algorithms(algorithms "${ROW_OPERATION}" "${ROW_LAYER}")
    if(NOT algorithms)
        list(JOIN layers ", " layers)
        message(FATAL_ERROR "${kernel}: LAYER is '${ROW_LAYER}', must be one of ${layers}")
    endif()
    if(NOT ROW_ALGORITHM IN_LIST algorithms)
        list(JOIN algorithms " or " algorithms)
        message(FATAL_ERROR "${kernel}: ALGORITHM is '${ROW_ALGORITHM}', must be ${algorithms} for layer ${ROW_LAYER}")
    endif()
    aft_schedule_refusal(refusal "${ROW_OPERATION}" "${ROW_BY}" "${ROW_ALGORITHM}" "${ROW_DEVICE}" "${ROW_STORAGE}")
    if(refusal)
        message(FATAL_ERROR "${kernel}: ${refusal}")
    endif()
    aft_autoscheduler(autoscheduler ${ROW_BY})
    list(LENGTH ROW_ESTIMATES estimates)
    if((autoscheduler AND NOT estimates EQUAL 5) OR (NOT autoscheduler AND NOT estimates EQUAL 0))
        message(FATAL_ERROR "${kernel}: ESTIMATES are '${ROW_ESTIMATES}', must be batch, seq, hidden, projected and \
window of an autoscheduled kernel, and none of one by hand")
    endif()
    foreach(range ${ROW_PREFERRED})
        if(NOT range MATCHES "^(seq|hidden|projected|window)=[0-9]+:[0-9]+$")
            message(FATAL_ERROR "${kernel}: PREFERRED has '${range}', must be seq, hidden, projected or window, and \
=<from>:<to>")
        endif()
    endforeach()
    foreach(param ${ROW_PARAMS})
        if(param MATCHES "^(layer_bias|algorithm|schedule|device|storage|estimated_[a-z]+)=")
            message(FATAL_ERROR "${kernel}: PARAMS has '${param}', which another column says")
        endif()
    endforeach()
endfunction()

# Adds a row to a table: on the CPU a kernel for each target. A GPU has one, whose code for the CPU is for the last
# target.
function(aft_kernel table)
    aft_parse_row(${ARGN})
    if(NOT ROW_BY)
        set(ROW_BY "${ROW_SCHEDULE}")
    endif()
    aft_autoscheduler(autoscheduler "${ROW_BY}")
    if(autoscheduler AND NOT ROW_PARAMS)
        aft_autoscheduler_params(ROW_PARAMS ${autoscheduler} "${ROW_ALGORITHM}")
    endif()
    aft_kernel_name(name "${ROW_ALGORITHM}" "${ROW_SCHEDULE}")
    aft_subject(subject "${ROW_OPERATION}" "${ROW_LAYER}")
    string(JOIN _ kernel ${table} ${subject} ${ROW_DEVICE} ${name} ${ROW_VARIANT})
    set(row ${ROW_UNPARSED_ARGUMENTS})
    foreach(column OPERATION LAYER ALGORITHM SCHEDULE BY STORAGE DEVICE VARIANT ESTIMATES PREFERRED PARAMS)
        if(NOT "${ROW_${column}}" STREQUAL "")
            list(APPEND row ${column} ${ROW_${column}})
        endif()
    endforeach()
    aft_check_row(${kernel} ${row})

    aft_get(devices ${table} DEVICES)
    aft_get(schedules ${table} SCHEDULES)
    if(NOT ROW_DEVICE IN_LIST devices OR NOT (name IN_LIST schedules OR schedules STREQUAL "all"))
        aft_skip_row(${table} ${name}
                     "${ROW_OPERATION};${ROW_LAYER};${ROW_ALGORITHM};${ROW_SCHEDULE};${ROW_DEVICE}")
        return()
    endif()
    aft_get(targets ${table} TARGETS)
    aft_isas(isas ${targets})
    list(GET targets -1 baseline)
    foreach(target isa IN ZIP_LISTS targets isas)
        set(id ${kernel})
        if(ROW_DEVICE STREQUAL "cpu")
            string(JOIN @ id ${kernel} ${isa})
        elseif(NOT target STREQUAL baseline)
            continue()
        endif()
        aft_get(kernels ${table} KERNELS)
        if(id IN_LIST kernels)
            message(FATAL_ERROR "Two kernels have the id ${id}")
        endif()
        set(name_of_target)
        if(isa)
            set(name_of_target ISA ${isa})
        endif()
        set_property(GLOBAL APPEND PROPERTY AFT_${table}_KERNELS ${id})
        # Lengths that were measured take the place of the table's (wisdom.cmake).
        get_property(lengths GLOBAL PROPERTY AFT_LENGTHS_${id})
        set(columns ${row})
        if(lengths)
            string(REGEX REPLACE "(^|;)PREFERRED;seq=[0-9]+:[0-9]+(;|$)" "\\2" columns "${row}")
            if(NOT lengths STREQUAL "any")
                list(TRANSFORM lengths PREPEND seq=)
                list(APPEND columns PREFERRED ${lengths})
            endif()
        endif()
        set_property(GLOBAL PROPERTY AFT_KERNEL_${id} ${columns} TARGET ${target} ${name_of_target})
    endforeach()
endfunction()

# Puts the algorithms of an operation on `layer` that a row of text means into `out`: those of `algorithms`, with `usual`
# for the usual one of the layer where the schedule can make it.
function(aft_algorithms_of_row out operation layer algorithms schedule device storage)
    aft_algorithms(of_layer ${operation} ${layer})
    list(GET of_layer 0 usual)
    set(meant)
    foreach(algorithm ${algorithms})
        aft_schedule_refusal(refusal ${operation} ${schedule} ${usual} ${device} ${storage})
        if(algorithm STREQUAL "usual" AND NOT refusal)
            list(APPEND meant ${usual})
        elseif(algorithm IN_LIST of_layer)
            list(APPEND meant ${algorithm})
        endif()
    endforeach()
    set(${out} "${meant}" PARENT_SCOPE)
endfunction()

# Adds such rows for one device.
function(aft_kernel_rows_of_device table operation device layers rows)
    set(of_no_layer ${rows})
    foreach(layer ${layers})
        foreach(row ${rows})
            aft_text_cells("${row}" algorithms schedule storage variant extents params)
            aft_autoscheduler(autoscheduler ${schedule})
            set(kind_of_extents PREFERRED)
            if(autoscheduler)
                set(kind_of_extents ESTIMATES)
            endif()
            aft_algorithms_of_row(meant ${operation} ${layer} "${algorithms}" ${schedule} ${device} ${storage})
            foreach(algorithm ${meant})
                list(REMOVE_ITEM of_no_layer "${row}")
                aft_kernel(${table} OPERATION ${operation} LAYER ${layer} ALGORITHM ${algorithm}
                           SCHEDULE ${schedule} STORAGE ${storage} DEVICE ${device} VARIANT ${variant}
                           ${kind_of_extents} ${extents} PARAMS ${params})
            endforeach()
        endforeach()
    endforeach()
    if(of_no_layer)
        message(FATAL_ERROR "No layer has an algorithm that the schedule can make on ${device}: ${of_no_layer}")
    endif()
endfunction()

# Adds rows that are written as text, the same for each DEVICE, layer by layer. The extents of an autoscheduled kernel are
# its ESTIMATES, those of one by hand PREFERRED.
function(aft_kernel_rows table)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "OPERATION;ROWS" "DEVICE")
    aft_text_rows(rows "${ARG_ROWS}")
    aft_layers(layers ${ARG_OPERATION})
    foreach(device ${ARG_DEVICE})
        aft_kernel_rows_of_device(${table} ${ARG_OPERATION} ${device} "${layers}" "${rows}")
    endforeach()
endfunction()
