#include "process.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <ranges>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace interop {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

class tcp_socket {
public:
    tcp_socket() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        if (fd_ < 0) fail("socket");
        // The broker must not inherit the socket, because the port would stay in use.
        if (::fcntl(fd_, F_SETFD, FD_CLOEXEC) != 0) fail("fcntl");
    }
    ~tcp_socket() { ::close(fd_); }
    tcp_socket(const tcp_socket&) = delete;
    tcp_socket& operator=(const tcp_socket&) = delete;

    std::uint16_t bind_any_port() {
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        if (::bind(fd_, any, size) != 0) fail("bind");
        if (::getsockname(fd_, any, &size) != 0) fail("getsockname");
        return ntohs(address.sin_port);
    }

    bool connect(std::uint16_t port) {
        const sockaddr_in address = loopback(port);
        return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }

private:
    static sockaddr_in loopback(std::uint16_t port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return address;
    }

    int fd_;
};

int open_for_output(const fs::path& file) {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) fail(file.string());
    return fd;
}

// The inode of a file. It changes when the file is replaced by renaming another one.
ino_t identity(const fs::path& file) {
    struct stat found{};
    return ::stat(file.c_str(), &found) == 0 ? found.st_ino : 0;
}

std::string with_directory(std::string_view lines, const fs::path& directory) {
    std::string result{lines};
    for (std::size_t at = 0; (at = result.find("@/", at)) != std::string::npos;)
        result.replace(at, 1, directory.string());
    return result;
}

} // namespace

fs::path find_program(std::string_view name) {
    const char* const path = std::getenv("PATH");
    const std::string all =
        std::string{path ? path : "/usr/bin"} + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin:/opt/local/sbin";
    for (const auto part : std::views::split(all, ':')) {
        const fs::path file = fs::path(std::string(part.begin(), part.end())) / name;
        if (::access(file.c_str(), X_OK) == 0) return file;
    }
    return {};
}

std::string read_file(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& file, std::string_view content) {
    std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

std::size_t count_lines(std::string_view text, std::initializer_list<std::string_view> all_of) {
    std::size_t count = 0;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        if (std::ranges::all_of(all_of, [&](std::string_view part) { return line.find(part) != line.npos; })) ++count;
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
    return count;
}

temporary_directory::temporary_directory() {
    std::string name = (fs::temp_directory_path() / "tern-XXXXXX").string();
    if (!::mkdtemp(name.data())) fail(name);
    path_ = name;
}

temporary_directory::~temporary_directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

process::process(std::vector<std::string> arguments, const fs::path& out, const fs::path& err) {
    // The child must not allocate between fork and exec, so everything is prepared here.
    std::vector<char*> words;
    for (std::string& argument : arguments)
        words.push_back(argument.data());
    words.push_back(nullptr);
    const int files[] = {open_for_output(out), open_for_output(err)};
    const int all_files = static_cast<int>(std::clamp(::sysconf(_SC_OPEN_MAX), 256L, 65'536L));
    id_ = ::fork();
    if (id_ == 0) {
#ifdef __linux__
        ::prctl(PR_SET_PDEATHSIG, SIGKILL); // the program must not outlive a killed test
#endif
        ::dup2(files[0], STDOUT_FILENO);
        ::dup2(files[1], STDERR_FILENO);
        // An inherited connection would stay open after the test has closed it.
        for (int fd = STDERR_FILENO + 1; fd < all_files; ++fd)
            ::close(fd);
        ::execv(words[0], words.data());
        ::_exit(127);
    }
    for (const int fd : files)
        ::close(fd);
    if (id_ < 0) fail("fork");
}

process::~process() {
    kill();
}

std::optional<int> process::exit_status() {
    int status = 0;
    if (!status_ && ::waitpid(id_, &status, WNOHANG) == id_) status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return status_;
}

void process::signal(int number) {
    if (!exit_status()) ::kill(id_, number);
}

void process::kill() {
    signal(SIGKILL);
    int status = 0;
    while (!status_) {
        if (::waitpid(id_, &status, 0) == id_)
            status_ = -1;
        else if (errno != EINTR)
            break;
    }
}

mosquitto::mosquitto(std::string_view configuration, std::initializer_list<file> files)
    : program_(find_program("mosquitto")) {
    if (program_.empty()) {
        std::puts("SKIPPED: mosquitto is not installed");
        std::fflush(stdout);
        std::_Exit(0);
    }
    for (const file& f : files)
        write_file(directory_ / f.name, f.content);
    // Another process may take the port before the broker does.
    for (int attempt = 0; attempt != 5; ++attempt)
        if (start(configuration)) return;
    throw std::runtime_error("mosquitto does not start:\n" + log());
}

void mosquitto::save() {
    const fs::path saved = directory_ / "mosquitto.db";
    const ino_t before = identity(saved);
    process_->signal(SIGUSR1);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (identity(saved) == before) {
        if (process_->exit_status() || std::chrono::steady_clock::now() > deadline)
            throw std::runtime_error("mosquitto does not save:\n" + log());
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

void mosquitto::restart() {
    // A connection of another process may use the port meanwhile.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!run())
        if (std::chrono::steady_clock::now() > deadline)
            throw std::runtime_error("mosquitto does not restart:\n" + log());
}

bool mosquitto::start(std::string_view configuration) {
    port_ = tcp_socket().bind_any_port();
    std::string config = "persistence false\nlog_dest stderr\nmax_queued_messages 0\n";
    if (::geteuid() == 0) config += "user root\n"; // another user cannot read the directory
    config.append("listener " + std::to_string(port_) + " 127.0.0.1\n").append(configuration);
    write_file(directory_ / "mosquitto.conf", with_directory(config, directory_ / ""));
    return run();
}

bool mosquitto::run() {
    process_ = std::make_unique<process>(
        std::vector<std::string>{program_.string(), "-c", (directory_ / "mosquitto.conf").string()}, directory_ / "out",
        directory_ / "log");

    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!process_->exit_status() && std::chrono::steady_clock::now() < deadline) {
        // The log shows that this broker has the port, which another process might have taken. The connection shows
        // that the broker accepts.
        if (count_lines(log(), {"mosquitto version", "running"}) != 0 && tcp_socket().connect(port_)) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

mosquitto& broker() {
    static mosquitto it("max_inflight_messages " + std::to_string(broker_max_inflight) +
                        "\nallow_anonymous true\n"
                        "log_type error\nlog_type warning\nlog_type notice\nlog_type information\n"
                        "log_type subscribe\n");
    return it;
}

} // namespace interop
