// Other programs, run by the tests: found, started, watched and surely ended. POSIX only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace interop {

/// The path of a program, also where daemons are installed; empty if there is none.
std::filesystem::path find_program(std::string_view name);

std::string read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, std::string_view content);

/// How many lines of the text contain all of these.
std::size_t count_lines(std::string_view text, std::initializer_list<std::string_view> all_of);

/// A directory of one's own, removed in the end.
class temporary_directory {
public:
    temporary_directory();
    ~temporary_directory();
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;

    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

/// A running program. It is killed, and waited for, when the object goes.
class process {
public:
    /// Runs a program with its output in the given files. The first argument is the program's path.
    process(std::vector<std::string> arguments, const std::filesystem::path& out,
            const std::filesystem::path& err);
    ~process();
    process(const process&) = delete;
    process& operator=(const process&) = delete;

    /// How it ended, if it did; -1: by a signal.
    std::optional<int> exit_status();

    void signal(int number);

    /// Kills it as `kill -9` does, and waits until it is gone.
    void kill();

private:
    pid_t id_ = -1;
    std::optional<int> status_;
};

/// A Mosquitto on a free port of 127.0.0.1, with a configuration of its own.
class mosquitto {
public:
    struct file {
        std::string_view name;
        std::string_view content;
    };

    /// Starts it with these lines of configuration, in which `@/` stands for its directory, where `files` are written
    /// before.
    ///
    /// Without Mosquitto the program says so and ends: ctest takes that as skipped.
    explicit mosquitto(std::string_view configuration, std::initializer_list<file> files = {});

    std::uint16_t port() const { return port_; }

    /// What it has logged until now.
    std::string log() const { return read_file(directory_ / "log"); }

    /// Has it write down all it knows, and waits until that is done. This takes up to 0.1 s if nobody talks to
    /// it. Needs `persistence true` and `persistence_location @/`.
    void save();

    /// Kills it as `kill -9` does.
    void kill() { process_->kill(); }

    /// Starts it again with what it has saved, on the same port and with a new log.
    void restart();

private:
    bool start(std::string_view configuration);
    bool run();

    temporary_directory directory_;
    std::filesystem::path program_;
    std::uint16_t port_ = 0;
    std::unique_ptr<process> process_;
};

/// The broker that most tests use, started by the first of them: it lets everybody do anything.
mosquitto& broker();

/// How many messages to and from a client `broker()` lets be unacknowledged.
inline constexpr std::uint16_t broker_max_inflight = 100;

} // namespace interop
