# `cpack`: the installed tree as an archive, and as a package of Debian's kind for /usr.
set(CPACK_GENERATOR TGZ)
if(LINUX)
    list(APPEND CPACK_GENERATOR DEB)
endif()
set(CPACK_PACKAGE_VENDOR "The aft authors")
set(CPACK_PACKAGE_CONTACT ${CPACK_PACKAGE_VENDOR} CACHE STRING "Maintainer of the package, e.g. name <address>")
set(CPACK_PACKAGE_FILE_NAME aft-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_INSTALL_CMAKE_PROJECTS ${PROJECT_BINARY_DIR} aft Unspecified /)  # without the component of wheels
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # of the tool and the shared library
include(CPack)
