// Runs other programs in tests: finds, starts, observes and kills them. POSIX only.
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

/// Searches PATH and the directories of daemons for a program. Returns an empty path if there is none.
std::filesystem::path find_program(std::string_view name);

std::string read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, std::string_view content);

/// The number of lines of the text that contain each of these strings.
std::size_t count_lines(std::string_view text, std::initializer_list<std::string_view> all_of);

/// A directory that the destructor removes.
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

/// A running program. The destructor kills it and waits for its end.
class process {
public:
    /// Starts a program with its output redirected to the given files. The first argument is the program's path.
    process(std::vector<std::string> arguments, const std::filesystem::path& out, const std::filesystem::path& err);
    ~process();
    process(const process&) = delete;
    process& operator=(const process&) = delete;

    /// The exit status if the program has ended. -1 means that a signal ended it.
    std::optional<int> exit_status();

    void signal(int number);

    /// Sends SIGKILL and waits for the end.
    void kill();

private:
    pid_t id_ = -1;
    std::optional<int> status_;
};

/// Runs Mosquitto on a free port of 127.0.0.1, with its own configuration.
class mosquitto {
public:
    struct file {
        std::string_view name;
        std::string_view content;
    };

    /// Writes `files` to a temporary directory and starts the broker with these lines of configuration, in which `@/`
    /// stands for that directory.
    ///
    /// If Mosquitto is not installed, the program prints that and exits, which ctest reports as skipped.
    explicit mosquitto(std::string_view configuration, std::initializer_list<file> files = {});

    std::uint16_t port() const { return port_; }

    /// A file in the temporary directory.
    std::filesystem::path file_path(std::string_view name) const { return directory_ / name; }

    /// The log so far.
    std::string log() const { return read_file(directory_ / "log"); }

    /// Makes the broker save its state and waits until it is written, up to 0.1 s if there is no traffic. Needs
    /// `persistence true` and `persistence_location @/`.
    void save();

    /// Sends SIGKILL and waits for the end.
    void kill() { process_->kill(); }

    /// Restarts it with its saved state, on the same port and with a new log.
    void restart();

private:
    bool start(std::string_view configuration);
    bool run();

    temporary_directory directory_;
    std::filesystem::path program_;
    std::uint16_t port_ = 0;
    std::unique_ptr<process> process_;
};

/// The broker that most tests use. The first of them starts it. It has no access control.
mosquitto& broker();

/// The number of unacknowledged messages that `broker()` allows to and from a client.
inline constexpr std::uint16_t broker_max_inflight = 100;

} // namespace interop
