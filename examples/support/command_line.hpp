// The arguments of a program in UTF-8, on Windows too, where main() receives them in another encoding.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace example {

/// While it lives, a Windows console shows output as UTF-8.
class command_line {
public:
    command_line(int argc, char** argv);
    command_line(const command_line&) = delete;
    command_line& operator=(const command_line&) = delete;
    ~command_line();

    /// As the parameters of main().
    int count() const noexcept { return static_cast<int>(pointers_.size()) - 1; }
    char** arguments() noexcept { return pointers_.data(); }

private:
    std::vector<std::string> texts_;
    std::vector<char*> pointers_;             // to `texts_`, and a null pointer
    [[maybe_unused]] unsigned code_page_ = 0; // of the console, before
};

/// The file with a name in UTF-8.
std::filesystem::path path_of(std::string_view name);

} // namespace example
