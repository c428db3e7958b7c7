// All strings over a small alphabet, for exhaustive tests.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace topic_tests {

// Returns all strings over the alphabet with 0 to max_size characters.
inline std::vector<std::string> all_strings(std::string_view alphabet, std::size_t max_size) {
    std::vector<std::string> all{""};
    for (std::size_t i = 0; i != all.size() && all[i].size() != max_size; ++i)
        for (const char c : alphabet)
            all.push_back(all[i] + c);
    return all;
}

} // namespace topic_tests
