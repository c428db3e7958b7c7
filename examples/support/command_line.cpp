#include "support/command_line.hpp"

#ifdef _WIN32
#include <windows.h>
#endif

namespace example {

#ifdef _WIN32
namespace {

std::string to_utf8(const wchar_t* text) {
    const int size = ::WideCharToMultiByte(CP_UTF8, 0, text, -1, nullptr, 0, nullptr, nullptr);
    if (size <= 0) return {};
    std::string result(static_cast<std::size_t>(size), '\0');
    ::WideCharToMultiByte(CP_UTF8, 0, text, -1, result.data(), size, nullptr, nullptr);
    result.pop_back(); // the terminator
    return result;
}

std::vector<std::string> windows_arguments() {
    std::vector<std::string> result;
    int count = 0;
    wchar_t** const texts = ::CommandLineToArgvW(::GetCommandLineW(), &count);
    for (int i = 0; i < count; ++i)
        result.push_back(to_utf8(texts[i]));
    ::LocalFree(texts);
    return result;
}

} // namespace

command_line::command_line(int, char**) : texts_(windows_arguments()), code_page_(::GetConsoleOutputCP()) {
    for (std::string& each : texts_)
        pointers_.push_back(each.data());
    pointers_.push_back(nullptr);
    ::SetConsoleOutputCP(CP_UTF8);
}

command_line::~command_line() {
    ::SetConsoleOutputCP(code_page_);
}
#else
command_line::command_line(int argc, char** argv) : pointers_(argv, argv + argc + 1) {}

command_line::~command_line() = default;
#endif

std::filesystem::path path_of(std::string_view name) {
    return std::u8string(name.begin(), name.end());
}

} // namespace example
