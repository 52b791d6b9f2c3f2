# An overlay port that builds this checkout: vcpkg install aft --overlay-ports=packaging/vcpkg
get_filename_component(SOURCE_PATH ${CURRENT_PORT_DIR}/../../.. ABSOLUTE)
string(COMPARE EQUAL "${VCPKG_LIBRARY_LINKAGE}" dynamic is_shared)

vcpkg_cmake_configure(
    SOURCE_PATH ${SOURCE_PATH}
    OPTIONS -DAFT_BUILD_SHARED=${is_shared} -DAFT_BUILD_TESTS=OFF -DAFT_BUILD_BENCH=OFF -DAFT_DEVICES=cpu
            "-DAFT_SCHEDULES=packed\;exact")
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/aft)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/debug/include ${CURRENT_PACKAGES_DIR}/debug/share)
vcpkg_install_copyright(FILE_LIST ${SOURCE_PATH}/LICENSE)
