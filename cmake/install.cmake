# `cmake --install`: what programs link to, the tool, and what aft_add_kernels() needs. Nothing of it is bound to the
# prefix.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# Runtime, kernels and Halide's runtime as one archive: a program needs nothing else of the build.
get_property(kernel_libraries GLOBAL PROPERTY aft_KERNEL_LIBRARIES)
list(REMOVE_DUPLICATES kernel_libraries)
set(parts aft aft_kernels ${kernel_libraries} aft_halide_runtime)
set(archive ${CMAKE_STATIC_LIBRARY_PREFIX}aft${CMAKE_STATIC_LIBRARY_SUFFIX})
set(script "CREATE ${archive}\n")
foreach(part ${parts})
    string(APPEND script "ADDLIB $<PATH:RELATIVE_PATH,$<TARGET_FILE:${part}>,${PROJECT_BINARY_DIR}>\n")
endforeach()
file(GENERATE OUTPUT archive.mri CONTENT "${script}SAVE\nEND\n")
add_custom_command(
    OUTPUT ${PROJECT_BINARY_DIR}/${archive}
    COMMAND sh -c "${CMAKE_AR} -M <archive.mri"
    WORKING_DIRECTORY ${PROJECT_BINARY_DIR}
    DEPENDS ${parts}
    COMMENT "Gathering ${archive}"
    VERBATIM)
add_custom_target(aft_archive ALL DEPENDS ${PROJECT_BINARY_DIR}/${archive})

install(FILES ${PROJECT_BINARY_DIR}/${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/aft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(AFT_BUILD_SHARED)
    install(TARGETS aft_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(AFT_BUILD_TOOLS)
    install(TARGETS aft_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    if(TARGET aft_man)
        install(DIRECTORY ${PROJECT_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    endif()
endif()

# The generators are compiled where kernels are made, against the Halide that is there.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/generators DESTINATION ${CMAKE_INSTALL_DATADIR}/aft
        FILES_MATCHING PATTERN "*.h" PATTERN "*.cpp" PATTERN "*.cpp.in"
                       PATTERN "add_kernels.cmake" PATTERN "autoschedulers.cmake" PATTERN "kernel_rows.cmake")
install(FILES ${PROJECT_SOURCE_DIR}/runtime/kernel_table.h DESTINATION ${CMAKE_INSTALL_DATADIR}/aft/runtime)
get_property(runtime_names GLOBAL PROPERTY AFT_RUNTIME_NAMES)
install(FILES ${runtime_names} DESTINATION ${CMAKE_INSTALL_DATADIR}/aft/generators)

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/aft)
configure_package_config_file(
    ${CMAKE_CURRENT_LIST_DIR}/aftConfig.cmake.in ${PROJECT_BINARY_DIR}/aftConfig.cmake
    INSTALL_DESTINATION ${config_folder}
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/aftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/aftConfig.cmake ${PROJECT_BINARY_DIR}/aftConfigVersion.cmake
        DESTINATION ${config_folder})

# Without a shared library, all that the archive needs.
set(aft_private_libraries "-lstdc++ -lm -pthread")
foreach(library ${CMAKE_DL_LIBS})
    string(APPEND aft_private_libraries " -l${library}")
endforeach()
set(aft_public_libraries "")
if(NOT AFT_BUILD_SHARED)
    set(aft_public_libraries " ${aft_private_libraries}")
endif()
file(RELATIVE_PATH aft_prefix_of_pc /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${CMAKE_CURRENT_LIST_DIR}/aft.pc.in ${PROJECT_BINARY_DIR}/aft.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/aft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
