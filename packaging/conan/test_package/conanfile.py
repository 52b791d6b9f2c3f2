"""Builds the examples against the package, and runs them."""

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, cmake_layout


class Examples(ConanFile):
    settings = "os", "arch", "compiler", "build_type"
    generators = "CMakeToolchain", "CMakeDeps"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def build(self):
        cmake = CMake(self)
        library = "aft::shared" if self.dependencies["aft"].options.shared else "aft::aft"
        cmake.configure(variables={"AFT_EXAMPLE_LIBRARY": library}, build_script_folder="../../../examples")
        cmake.build()

    def test(self):
        if can_run(self):
            CMake(self).ctest(["--output-on-failure", "--no-tests=error"])
