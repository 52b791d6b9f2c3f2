# Which schedule can make which kernels, and how Halide's autoschedulers are used.
include(${CMAKE_CURRENT_LIST_DIR}/algorithms.cmake)

# Puts the names of the schedules that can make a kernel into `out`; all names, if no kernel is given.
function(aft_schedules out)
    cmake_parse_arguments(PARSE_ARGV 1 FOR "" "OPERATION;ALGORITHM;DEVICE;STORAGE" "")
    # `own` is a program's own schedule (schedules/own.h).
    aft_text_rows(rows [[
#       schedule      | devices                | made by | storage
        packed        | cpu                    | packed  | float32 bfloat16 int8
        tiled         | cuda opencl vulkan     | tiled   | float32
        naive         | cpu cuda opencl vulkan | flat    | float32
        own           | cpu cuda opencl vulkan | flat    | float32
        mullapudi2016 | cpu                    | flat    | float32
        adams2019     | cpu                    | flat    | float32
        anderson2021  | cuda                   | flat    | float32
        li2018        | cpu cuda opencl        | flat    | float32
]])
    aft_algorithm_column(schedules_of_algorithm schedules operation "${FOR_OPERATION}" algorithm "${FOR_ALGORITHM}")
    aft_algorithm_column(storage_of_algorithm storage operation "${FOR_OPERATION}" algorithm "${FOR_ALGORITHM}")
    set(found)
    foreach(row ${rows})
        aft_text_cells("${row}" schedule devices made_by storage)
        if(ARGC EQUAL 1 OR (made_by IN_LIST schedules_of_algorithm AND FOR_DEVICE IN_LIST devices AND FOR_STORAGE IN_LIST storage AND
                            FOR_STORAGE IN_LIST storage_of_algorithm))
            list(APPEND found ${schedule})
        endif()
    endforeach()
    set(${out} "${found}" PARENT_SCOPE)
endfunction()

# Puts into `out` why a schedule can't make a kernel, and which schedules can; nothing if it can.
function(aft_schedule_refusal out operation schedule algorithm device storage)
    aft_schedules(able OPERATION "${operation}" ALGORITHM "${algorithm}" DEVICE "${device}" STORAGE "${storage}")
    set(refusal)
    if(NOT schedule IN_LIST able)
        list(REMOVE_ITEM able own)
        list(JOIN able ", " able)
        if(NOT able)
            set(able none)
        endif()
        set(refusal "schedule '${schedule}' can't make algorithm ${algorithm} on ${device} in ${storage}; those that \
can: ${able}")
    endif()
    set(${out} "${refusal}" PARENT_SCOPE)
endfunction()

# Puts Halide's name of an autoscheduler into `out`, Adams2019 for adams2019; nothing for a schedule by hand.
function(aft_autoscheduler out schedule)
    set(autoschedulers Adams2019 Anderson2021 Li2018 Mullapudi2016)
    string(TOLOWER "${autoschedulers}" names)
    list(FIND names "${schedule}" index)
    set(autoscheduler)
    if(NOT index EQUAL -1)
        list(GET autoschedulers ${index} autoscheduler)
    endif()
    set(${out} "${autoscheduler}" PARENT_SCOPE)
endfunction()

# The parameters that an autoscheduler and the generator get for an algorithm, unless a row has its own.
function(aft_autoscheduler_params out autoscheduler algorithm)
    set(params)
    if(autoscheduler STREQUAL "Anderson2021")
        # The default beam of 32 takes it a minute per kernel. The last two of its five passes find nothing better.
        set(params autoscheduler.beam_size=8 autoscheduler.num_passes=3)
    elseif(autoscheduler STREQUAL "Adams2019" AND algorithm STREQUAL "banded")
        # A wider beam is slower here. With the default parallelism of 16, T 197 takes 1.2 to 1.5 times as long
        # (docs/compare-autoschedulers.md).
        set(params autoscheduler.beam_size=1 autoscheduler.parallelism=2)
    elseif(autoscheduler STREQUAL "Adams2019")
        # The default beam of 32 takes it a minute per kernel. Beams of 4 and 8 gain at most 3 % over a beam of 2.
        set(params autoscheduler.beam_size=2)
    elseif(autoscheduler STREQUAL "Mullapudi2016")
        # It makes vectors as long as all values of a Tuple together: 4 rows are 16 registers, 8 would be 64.
        set(params tile_rows=4)
    endif()
    set(${out} "${params}" PARENT_SCOPE)
endfunction()
