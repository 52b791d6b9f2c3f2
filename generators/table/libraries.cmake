# A row becomes two static libraries: the kernel, and the one that prepares its parameters, where it has any.

# The command lines of the generators: the generator of a half of the kernel `id`, `call` or `prepare`, and its
# parameters. Parameters are prepared on the CPU, in the layout that the kernel's schedule has on its device.
function(aft_generator_command generator params id half)
    aft_get_row(${id})
    aft_is_flat(is_flat ${ROW_BY})
    set(schedule ${ROW_BY})
    if(is_flat)
        set(schedule naive)  # which an autoscheduler replaces
    endif()
    set(values schedule=${schedule})
    aft_algorithm_column(algorithms algorithm operation ${ROW_OPERATION})
    list(LENGTH algorithms count)
    if(count GREATER 1)
        list(PREPEND values algorithm=${ROW_ALGORITHM})
    endif()
    foreach(algorithm ${algorithms})
        aft_algorithm_column(layers layer operation ${ROW_OPERATION} algorithm ${algorithm})
        list(LENGTH layers count)
        if(count GREATER 1)  # the algorithm doesn't tell the bias of the layer
            aft_algorithm_column(bias bias operation ${ROW_OPERATION} layer ${ROW_LAYER})
            list(PREPEND values layer_bias=${bias})
            break()
        endif()
    endforeach()
    if(NOT half STREQUAL "prepare" OR NOT is_flat)
        list(APPEND values device=${ROW_DEVICE})
        if(NOT ROW_STORAGE STREQUAL "float32")
            list(APPEND values storage=${ROW_STORAGE})
        endif()
        list(APPEND values ${ROW_PARAMS})
        if(ROW_ESTIMATES)
            set(extents batch seq hidden projected window)
            aft_extents(of_kernel ${ROW_OPERATION} ${ROW_LAYER})
            foreach(extent estimate IN ZIP_LISTS extents ROW_ESTIMATES)
                if(extent IN_LIST of_kernel)
                    list(APPEND values estimated_${extent}=${estimate})
                endif()
            endforeach()
        endif()
    endif()
    set(name ${ROW_OPERATION})
    if(half STREQUAL "prepare")
        aft_operation_column(name prepared_by ${ROW_OPERATION})
    endif()
    set(${generator} aft_${name} PARENT_SCOPE)
    set(${params} ${values} PARENT_SCOPE)
endfunction()

# Whether a schedule works on the flat form, in which all kernels of an operation on a layer have the same parameters.
function(aft_is_flat out schedule)
    aft_autoscheduler(autoscheduler ${schedule})
    set(is_flat FALSE)
    if(autoscheduler OR schedule STREQUAL "naive")
        set(is_flat TRUE)
    endif()
    set(${out} ${is_flat} PARENT_SCOPE)
endfunction()

# The names of the two libraries of the kernel `id` of a table, the second one empty where nothing is prepared. They are
# the names of the functions in them.
function(aft_library_names call prepare table id)
    aft_get_row(${id})
    string(REPLACE @ _ library ${id})
    aft_is_flat(is_flat ${ROW_BY})
    aft_operation_column(prepared_by prepared_by ${ROW_OPERATION})
    if(prepared_by STREQUAL "none")
        set(library_of_prepare)
    elseif(is_flat)
        aft_subject(subject ${ROW_OPERATION} ${ROW_LAYER})
        string(JOIN _ library_of_prepare ${table} ${subject} flat_prepare ${ROW_ISA})
    else()
        set(library_of_prepare ${library}_prepare)
    endif()
    set(${call} ${library} PARENT_SCOPE)
    set(${prepare} "${library_of_prepare}" PARENT_SCOPE)
endfunction()

# Puts the layout of the prepared weights of the kernel `id` of a table into `out`: kernels with the same one keep the
# same bytes of them. In panels it depends on the lanes of a vector and of a panel (schedules/tiles.h), not on the rows
# of a tile. Whether a program's own schedule has panels isn't known here.
function(aft_weight_layout out table id)
    aft_get_row(${id})
    aft_is_flat(is_flat ${ROW_BY})
    aft_library_names(call prepare ${table} ${id})
    if(is_flat OR ROW_BY STREQUAL "own")
        set(layout "${prepare}")
    else()
        set(panels ${ROW_PARAMS})
        list(FILTER panels INCLUDE REGEX "^panel_vectors=")
        string(JOIN " " layout panels ${ROW_DEVICE} ${ROW_STORAGE} ${ROW_TARGET} ${panels})
    endif()
    set(${out} "${layout}" PARENT_SCOPE)
endfunction()

# Puts the program that changes names in objects into `out`, with the options that every object needs. Stops unless it is
# there.
function(aft_objcopy out)
    if(NOT CMAKE_NM OR NOT CMAKE_OBJCOPY)
        message(FATAL_ERROR "Kernels need nm and objcopy, of GNU binutils or of LLVM: CMAKE_NM is '${CMAKE_NM}', "
                            "CMAKE_OBJCOPY is '${CMAKE_OBJCOPY}'")
    endif()
    set(command ${CMAKE_OBJCOPY})
    # Halide makes objects for Microsoft's C library. GCC's has the same function by another name, and no mark of a
    # program that uses floating-point numbers, which is never read.
    if(MINGW)
        list(APPEND command --redefine-sym=__chkstk=___chkstk_ms --strip-symbol=_fltused)
    endif()
    set(${out} "${command}" PARENT_SCOPE)
endfunction()

# Has the library `name` of generated code call the library's own runtime (own_runtime.cmake).
function(aft_use_own_runtime name)
    get_target_property(imported ${name} IMPORTED)  # for a platform that isn't CMake's: nothing is linked to it
    if(imported OR EMSCRIPTEN)  # runtime/halide/halide.h
        return()
    endif()
    aft_objcopy(objcopy)
    # The file of the names in Halide's runtime, which own_runtime.cmake writes.
    get_property(names GLOBAL PROPERTY AFT_RUNTIME_NAMES)
    if(TARGET aft_halide_runtime)
        add_dependencies(${name} aft_halide_runtime)  # whose build writes it
    endif()
    add_custom_command(TARGET ${name} POST_BUILD
                       COMMAND ${objcopy} --redefine-syms=${names} $<TARGET_FILE:${name}> VERBATIM)
endfunction()

# Adds the library `name`, once: a half of the kernel `id` of a table, with code for `device`. Beside it, the build tree
# keeps the statement that it was lowered to, the schedule that an autoscheduler found, and the code for the device.
function(aft_add_library name table id half device autoscheduler)
    if(TARGET ${name})
        return()
    endif()
    aft_get_row(${id})
    aft_generator_command(generator params ${id} ${half})
    # The features that a device adds to the target. A CUDA target must name a capability: without one, Halide means sm_20.
    aft_get(capability ${table} CUDA_CAPABILITY)
    set(features)
    set(options)
    if(device STREQUAL "cuda")
        set(features cuda cuda_capability_${capability})
        set(options DEVICE_CODE device_code_file)
    elseif(device STREQUAL "opencl")
        set(features opencl)
    elseif(device STREQUAL "vulkan")
        set(features vulkan vk_v13)
        if(ROW_OPERATION MATCHES "^(core|scan)$")  # whose masks are bytes
            list(APPEND features vk_int8)
        endif()
    endif()
    if(autoscheduler)
        list(APPEND options AUTOSCHEDULER Halide::${autoscheduler} SCHEDULE schedule_file)
    endif()
    aft_get(program ${table} GENERATOR)
    aft_get(runtime ${table} RUNTIME)
    add_halide_library(
        ${name} FROM ${program}
        GENERATOR ${generator}
        TARGETS ${ROW_TARGET}
        FEATURES user_context ${features}
        USE_RUNTIME ${runtime}
        PARAMS ${params}
        STMT statement_file
        ${options})
    aft_use_own_runtime(${name})
endfunction()

# Adds the libraries of the kernel `id` of a table.
function(aft_add_kernel_libraries table id)
    aft_get_row(${id})
    aft_library_names(call prepare ${table} ${id})
    aft_autoscheduler(autoscheduler ${ROW_BY})
    if(prepare)
        aft_add_library(${prepare} ${table} ${id} prepare cpu "")
    endif()
    aft_add_library(${call} ${table} ${id} call ${ROW_DEVICE} "${autoscheduler}")
endfunction()
