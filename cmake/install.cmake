# `cmake --install`: what programs link to, the tool, and what aft_add_kernels() needs. Nothing of it is bound to the
# prefix.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# Runtime, kernels and Halide's runtime as one archive: a program needs nothing else of the build.
aft_get(kernel_libraries aft LIBRARIES)
set(parts aft aft_kernels ${kernel_libraries} aft_halide_runtime)
if(TARGET aft_libmd)
    list(APPEND parts aft_libmd)
endif()
set(archive ${CMAKE_STATIC_LIBRARY_PREFIX}aft${CMAKE_STATIC_LIBRARY_SUFFIX})
set(folder ${PROJECT_BINARY_DIR})
get_property(several_configurations GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(several_configurations)
    string(APPEND folder /$<CONFIG>)
endif()
set(script "CREATE ${archive}\n")
string(REPLACE "," "$<COMMA>" to_here "${folder}")
foreach(part ${parts})
    string(APPEND script "ADDLIB $<PATH:RELATIVE_PATH,$<TARGET_FILE:${part}>,${to_here}>\n")
endforeach()
file(GENERATE OUTPUT ${folder}/archive.mri CONTENT "${script}SAVE\nEND\n")
add_custom_command(
    OUTPUT ${folder}/${archive}
    COMMAND sh -c "${CMAKE_AR} -M <archive.mri"
    WORKING_DIRECTORY ${folder}
    DEPENDS ${parts}
    COMMENT "Gathering ${archive}"
    VERBATIM)
add_custom_target(aft_archive ALL DEPENDS ${folder}/${archive})

# Builds all that is installed: `make` and `make bench` do.
add_custom_target(aft_package DEPENDS aft_archive)
set(built ${folder}/${archive})
if(AFT_MPI)
    add_dependencies(aft_package aft_mpi)
    list(APPEND built $<TARGET_FILE:aft_mpi>)
    install(FILES $<TARGET_FILE:aft_mpi> DESTINATION ${CMAKE_INSTALL_LIBDIR})
else()
    set(header_of_mpi PATTERN mpi.h EXCLUDE)
endif()
if(AFT_BUILD_SHARED)
    add_dependencies(aft_package aft_shared)
    list(APPEND built $<TARGET_FILE:aft_shared>)
endif()
if(AFT_BUILD_TOOLS)
    add_dependencies(aft_package aft_cli)
    list(APPEND built $<TARGET_FILE:aft_cli>)
    if(TARGET aft_man)
        add_dependencies(aft_package aft_man)
        list(APPEND built ${PROJECT_BINARY_DIR}/man/aft.1)
    endif()
endif()
install(CODE "set(folder [==[${PROJECT_BINARY_DIR}]==])
set(built [==[${built}]==])")
install(CODE [[
foreach(file IN LISTS built)
    if(NOT EXISTS "${file}")
        message(FATAL_ERROR "${file} isn't built: cmake --build ${folder} --target aft_package")
    endif()
endforeach()]])
install(FILES ${folder}/${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/aft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${header_of_mpi})
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
set(generators ${PROJECT_SOURCE_DIR}/generators)
file(GLOB generator_sources CONFIGURE_DEPENDS ${generators}/*_generator.cpp ${generators}/*.h)
get_property(runtime_names GLOBAL PROPERTY AFT_RUNTIME_NAMES)
install(FILES ${generator_sources} ${generators}/no_own_schedule.cpp ${generators}/add_kernels.cmake
              ${generators}/algorithms.cmake ${generators}/halide.cmake ${runtime_names}
        DESTINATION ${CMAKE_INSTALL_DATADIR}/aft/generators)
install(DIRECTORY ${generators}/algorithms ${generators}/forms ${generators}/schedules ${generators}/table
                  ${generators}/workarounds
        DESTINATION ${CMAKE_INSTALL_DATADIR}/aft/generators)
install(FILES ${PROJECT_SOURCE_DIR}/runtime/kernels/kernel_table.h DESTINATION ${CMAKE_INSTALL_DATADIR}/aft/runtime/kernels)

# A link of C needs the libraries that C++ compilers name and C compilers don't.
set(aft_cxx_libraries ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER aft_cxx_libraries EXCLUDE REGEX "^(c|gcc|gcc_s|pthread)$|/")
list(REMOVE_DUPLICATES aft_cxx_libraries)

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/aft)
configure_package_config_file(
    ${CMAKE_CURRENT_LIST_DIR}/aftConfig.cmake.in ${PROJECT_BINARY_DIR}/aftConfig.cmake
    INSTALL_DESTINATION ${config_folder}
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/aftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/aftConfig.cmake ${PROJECT_BINARY_DIR}/aftConfigVersion.cmake
        DESTINATION ${config_folder})

# Without a shared library, all that the archive needs.
set(aft_private_libraries -pthread)
foreach(library ${aft_cxx_libraries} ${CMAKE_DL_LIBS})
    string(APPEND aft_private_libraries " -l${library}")
endforeach()
set(aft_public_libraries "")
if(NOT AFT_BUILD_SHARED)
    set(aft_public_libraries " ${aft_private_libraries}")
endif()
file(RELATIVE_PATH aft_prefix_of_pc /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${CMAKE_CURRENT_LIST_DIR}/aft.pc.in ${PROJECT_BINARY_DIR}/aft.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/aft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
