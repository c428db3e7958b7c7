// Runs a fuzz target without libFuzzer: with its seeds and with random changes of them.
//
//     fuzz_<target>              runs 20,000 inputs
//     fuzz_<target> <folder>     writes the seeds into the folder
//     fuzz_<target> <file>...    runs these inputs
#include "fuzz.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

void run_input(const std::string& input) {
    const std::vector<std::uint8_t> bytes(input.begin(), input.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

void write_seeds(const std::filesystem::path& folder) {
    int number = 0;
    for (const std::string& seed : fuzz::seeds()) {
        std::ofstream file(folder / ("seed-" + std::to_string(number++)), std::ios::binary);
        file.write(seed.data(), static_cast<std::streamsize>(seed.size()));
    }
}

void run_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    run_input(std::string(std::istreambuf_iterator<char>(file), {}));
}

std::string changed(std::string input, std::mt19937& random) {
    for (auto changes = 1 + random() % 4; changes-- != 0;) {
        const std::size_t at = random() % (input.size() + 1);
        switch (random() % 4) {
        case 0: input.insert(at, 1, static_cast<char>(random())); break;
        case 1: input.erase(at, 1 + random() % 4); break;
        case 2: input.insert(at, input.substr(random() % (input.size() + 1), random() % 20)); break;
        default:
            if (at != input.size()) input[at] = static_cast<char>(random());
        }
    }
    return input;
}

void run_random() {
    std::mt19937 random(1);
    const std::vector<std::string> seeds = fuzz::seeds();
    for (const std::string& seed : seeds)
        run_input(seed);
    for (int i = 0; i != 20'000; ++i)
        run_input(changed(seeds[random() % seeds.size()], random));
}

} // namespace

int main(int argc, char** argv) {
    if (argc == 1)
        run_random();
    else if (std::filesystem::is_directory(argv[1]))
        write_seeds(argv[1]);
    else
        for (int i = 1; i != argc; ++i)
            run_file(argv[i]);
}
