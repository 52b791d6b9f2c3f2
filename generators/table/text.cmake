# Tables that are written as text: one line for each row, with | between its cells. A line that begins with # is a
# comment.

# Puts the rows of `text` into `out`.
function(aft_text_rows out text)
    string(REGEX REPLACE "[ \n]*\n[ \n]*" ";" lines "\n${text}\n")
    list(FILTER lines EXCLUDE REGEX "^(#.*)?$")
    set(${out} "${lines}" PARENT_SCOPE)
endfunction()

# Puts the cells of `row` into the variables that the other arguments name, each cell as a list of its words.
function(aft_text_cells row)
    string(REPLACE "|" ";" cells "${row}")
    list(LENGTH cells count)
    list(LENGTH ARGN expected)
    if(NOT count EQUAL expected)
        message(FATAL_ERROR "'${row}' has ${count} cells, must have ${expected}: ${ARGN}")
    endif()
    foreach(cell name IN ZIP_LISTS cells ARGN)
        string(REGEX MATCHALL "[^ ]+" words "${cell}")
        set(${name} "${words}" PARENT_SCOPE)
    endforeach()
endfunction()
