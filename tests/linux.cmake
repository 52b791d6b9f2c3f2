# The tests of Linux's own calls need these.

# The system's calls that tests make fail.
target_link_options(aft_tests PRIVATE
                    LINKER:--wrap=write,--wrap=fsync,--wrap=renameat,--wrap=pread,--wrap=getrandom
                    LINKER:--wrap=pthread_create,--wrap=syscall)

# A CUDA driver for machines without one: ptx/README.md.
set(fake_cuda_folder ${CMAKE_CURRENT_BINARY_DIR}/fake_cuda)
add_library(aft_ptx OBJECT ptx/ptx.cpp)
target_compile_options(aft_ptx PRIVATE -O3)
set_target_properties(aft_ptx PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(aft_tests PRIVATE aft_ptx)
add_library(fake_cuda SHARED ptx/fake_cuda.cpp)
target_link_libraries(fake_cuda PRIVATE aft_ptx)
set_target_properties(fake_cuda PROPERTIES OUTPUT_NAME cuda SOVERSION 1 LIBRARY_OUTPUT_DIRECTORY ${fake_cuda_folder})

add_library(fake_driver MODULE fake_driver.cpp)

add_library(fake_blas MODULE fake_blas.cpp)
target_compile_options(fake_blas PRIVATE -O3)

# A plugin with the whole library inside, and one that brings the shared library along.
add_library(aft_plugin MODULE plugin.cpp)
target_link_libraries(aft_plugin PRIVATE aft::aft)
target_link_options(aft_plugin PRIVATE LINKER:--exclude-libs,ALL)
set(plugins aft_plugin)
if(AFT_BUILD_SHARED)
    add_library(aft_plugin_of_shared MODULE plugin.cpp)
    target_link_libraries(aft_plugin_of_shared PRIVATE aft::shared)
    list(APPEND plugins aft_plugin_of_shared)
endif()
foreach(plugin ${plugins})
    set_target_properties(${plugin} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_compile_options(${plugin} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
    add_dependencies(aft_tests ${plugin})
    string(TOUPPER ${plugin} definition)
    target_compile_definitions(aft_tests PRIVATE ${definition}="$<TARGET_FILE:${plugin}>")
endforeach()
target_link_libraries(aft_tests PRIVATE ${CMAKE_DL_LIBS})

if(AFT_BUILD_TOOLS AND AFT_BUILD_BENCH)
    target_sources(aft_tests PRIVATE command_line.cpp)
    target_link_libraries(aft_tests PRIVATE aft_tune)
    add_dependencies(aft_tests aft_cli fake_cuda fake_driver fake_blas)
    target_compile_definitions(aft_tests PRIVATE AFT_CLI="$<TARGET_FILE:aft_cli>" AFT_FAKE_CUDA="${fake_cuda_folder}"
                                                 AFT_FAKE_BLAS="$<TARGET_FILE:fake_blas>"
                                                 AFT_FAKE_DRIVER="$<TARGET_FILE:fake_driver>")
endif()
