// Reads each safetensors file that standard input names, one a line. Prints "accepted", or why it was refused.
#include <aft/error.h>
#include <aft/safetensors.h>

#include <iostream>
#include <string>

int main() {
    for (std::string path; std::getline(std::cin, path);) {
        try {
            aft::read_safetensors(path);
            std::cout << "accepted" << std::endl;
        } catch (const aft::WeightsError &error) {
            std::cout << error.what() << std::endl;
        }
    }
}
