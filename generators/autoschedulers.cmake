# How Halide's autoschedulers are used.

# The autoscheduler of a schedule, adams2019 for one; empty for schedules by hand.
function(aft_autoscheduler out schedule)
    set(${out} "" PARENT_SCOPE)
    foreach(autoscheduler Adams2019 Anderson2021 Li2018 Mullapudi2016)
        string(TOLOWER ${autoscheduler} name)
        if(schedule STREQUAL name)
            set(${out} ${autoscheduler} PARENT_SCOPE)
        endif()
    endforeach()
endfunction()

# The parameters that a layer is scheduled with.
function(aft_autoscheduler_params out autoscheduler layer)
    # A beam of 32, their default, takes Adams2019 and Anderson2021 a minute per kernel; for Adams2019, beams of
    # 4 and 8 find nothing that is more than 3 % faster than what a beam of 2 does.
    set(params_Anderson2021 autoscheduler.beam_size=8)
    set(params_Adams2019 autoscheduler.beam_size=2)
    # AFTLocal it doesn't understand with several rows of sums, nor with a narrow beam: 223 ms at B 16, T 197, H 192
    # where this takes 16.
    set(params_Adams2019_local tile_rows=1)
    # Mullapudi2016 makes vectors as long as all values of a Tuple together: 4 rows are 16 registers, 8 would be 64.
    set(params_Mullapudi2016 tile_rows=4)

    set(params ${params_${autoscheduler}})
    if(DEFINED params_${autoscheduler}_${layer})
        set(params ${params_${autoscheduler}_${layer}})
    endif()
    set(${out} ${params} PARENT_SCOPE)
endfunction()
