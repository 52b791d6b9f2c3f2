"""The library for Conan 2, from this checkout:

    conan create packaging/conan -c user.aft:halide_dir=<prefix of Halide 21>/lib/cmake/Halide

docs/building.md explains the options.
"""

import pathlib
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load


class Aft(ConanFile):
    name = "aft"
    description = "Attention-free transformer layers as Halide kernels"
    license = "MIT"
    topics = ("attention-free-transformer", "halide", "inference")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    # As in CMake. A package for `host` is for CPUs like this one; Conan doesn't know that.
    options = {"shared": [True, False], "targets": ["ANY"], "devices": ["ANY"], "schedules": ["ANY"]}
    default_options = {"shared": False, "targets": "host", "devices": "cpu", "schedules": "packed;exact"}

    @property
    def checkout(self):
        return pathlib.Path(self.recipe_folder).parents[1]

    def set_version(self):
        header = load(self, self.checkout / "include/aft/version.h")
        self.version = re.search(r'AFT_VERSION "([0-9.]+)"', header)[1]

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "generators/*", "include/*", "runtime/*"):
            copy(self, pattern, self.checkout, self.export_sources_folder)

    def requirements(self):
        self.requires("nlohmann_json/3.11.3", visible=False)

    def layout(self):
        cmake_layout(self)

    def validate_build(self):
        if not self.conf.get("user.aft:halide_dir"):
            raise ConanInvalidConfiguration("user.aft:halide_dir isn't set: the folder with HalideConfig.cmake")

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables.update({
            "Halide_DIR": self.conf.get("user.aft:halide_dir"),
            "AFT_TARGETS": str(self.options.targets),
            "AFT_DEVICES": str(self.options.devices),
            "AFT_SCHEDULES": str(self.options.schedules),
            "AFT_BUILD_SHARED": bool(self.options.shared),
            "AFT_BUILD_TESTS": False,
            "AFT_BUILD_BENCH": False,
        })
        # Generators that another build has compiled.
        generators = self.conf.get("user.aft:generators")
        if generators:
            toolchain.cache_variables["aft-halide_generators_ROOT"] = generators
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build(target="aft_package")

    def package(self):
        CMake(self).install()

    def package_info(self):
        # find_package(aft) takes the library's own files.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = ["lib/cmake/aft"]
        self.cpp_info.libs = ["aft"]
        if self.settings.os == "Linux":
            self.cpp_info.system_libs = ["pthread", "dl"]
