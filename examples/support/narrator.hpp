// Tells the story of the demo: scenes, sentences, packets, and whether everything was as it should be.
#pragma once

#include "support/tap.hpp"
#include "tern/format.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif

namespace example {

/// Whether standard output is a terminal whose user has not asked for no colour (https://no-color.org).
inline bool wants_colour() {
    const char* const refused = std::getenv("NO_COLOR");
    if (refused != nullptr && *refused != '\0') return false;
#ifdef _WIN32
    return std::getenv("WT_SESSION") != nullptr && _isatty(_fileno(stdout)) != 0;
#else
    const char* const terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
#endif
}

class narrator {
public:
    explicit narrator(bool show_packets) : show_packets_(show_packets), colour_(wants_colour()) {}

    void title(std::string_view text) { line(bold, text); }

    /// Begins a scene with its number and name.
    void scene(std::string_view name) { line(bold, fmt::format("\n{}. {}", ++scenes_, name)); }

    /// A sentence for the reader.
    void say(std::string_view text) { line(plain, fmt::format("   {}", text)); }

    /// What was promised, and whether it is so.
    void expect(bool is_so, std::string_view text) {
        ++promises_;
        if (!is_so) ++broken_;
        line(is_so ? green : red, fmt::format("   {} {}", is_so ? "ok  " : "FAIL", text));
    }

    /// What cannot be shown here, and why.
    void skip(std::string_view text) { line(yellow, fmt::format("   --   {}", text)); }

    /// A packet that `who` has sent or received.
    void packet(std::string_view who, direction where, const tern::any_packet& packet) {
        if (!show_packets_) return;
        const std::string_view arrow = where == direction::sent ? "-->" : "<--";
        line(dim, fmt::format("        {:>11} {} {}", who, arrow, packet));
    }

    /// Says how it ended; returns the exit code.
    int end() {
        const auto text = broken_ == 0 ? fmt::format("\nAll {} promises of MQTT were kept.", promises_)
                                       : fmt::format("\n{} of {} promises were broken.", broken_, promises_);
        line(broken_ == 0 ? green : red, text);
        return broken_ == 0 ? 0 : 1;
    }

private:
    static constexpr std::string_view plain = "";
    static constexpr std::string_view bold = "\033[1m";
    static constexpr std::string_view dim = "\033[36m";
    static constexpr std::string_view red = "\033[1;31m";
    static constexpr std::string_view green = "\033[32m";
    static constexpr std::string_view yellow = "\033[33m";

    void line(std::string_view style, std::string_view text) const {
        const bool styled = colour_ && !style.empty();
        fmt::print("{}{}{}\n", styled ? style : "", text, styled ? "\033[0m" : "");
        std::fflush(stdout);
    }

    bool show_packets_;
    bool colour_;
    int scenes_ = 0;
    int promises_ = 0;
    int broken_ = 0;
};

} // namespace example
