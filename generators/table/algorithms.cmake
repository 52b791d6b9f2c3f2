# Questions to the table of algorithms.
include(${CMAKE_CURRENT_LIST_DIR}/text.cmake)

function(aft_set_algorithms text)
    aft_text_rows(rows "${text}")
    set_property(GLOBAL PROPERTY AFT_ALGORITHMS "${rows}")
endfunction()

# Puts the values of `column` into `out`: of all rows, or of those that have `value` in the column `where`.
#   aft_algorithm_column(<out> <column> [<where> <value>])
function(aft_algorithm_column out column)
    get_property(rows GLOBAL PROPERTY AFT_ALGORITHMS)
    set(values)
    foreach(row ${rows})
        aft_text_cells("${row}" layer bias algorithm schedules storage any_bias)
        if(ARGC EQUAL 2 OR "${${ARGV2}}" STREQUAL "${ARGV3}")
            list(APPEND values ${${column}})
        endif()
    endforeach()
    list(REMOVE_DUPLICATES values)
    set(${out} "${values}" PARENT_SCOPE)
endfunction()

# The algorithms of a layer, its usual one first; none for a layer that doesn't exist.
function(aft_algorithms out layer)
    aft_algorithm_column(algorithms algorithm layer "${layer}")
    set(${out} "${algorithms}" PARENT_SCOPE)
endfunction()

function(aft_has_window out layer)
    aft_algorithm_column(bias bias layer "${layer}")
    set(has_window FALSE)
    if(bias STREQUAL "banded")
        set(has_window TRUE)
    endif()
    set(${out} ${has_window} PARENT_SCOPE)
endfunction()

# Whether an algorithm is accurate for position biases of any range: true or false.
function(aft_takes_any_bias out algorithm)
    aft_algorithm_column(any_bias any_bias algorithm ${algorithm})
    set(takes_any false)
    if(any_bias STREQUAL "yes")
        set(takes_any true)
    endif()
    set(${out} ${takes_any} PARENT_SCOPE)
endfunction()
