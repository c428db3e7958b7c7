// A small protocol for tests of `layer`: records of a type, a length and bytes that are inverted. The client greets
// first, and the server returns the greeting.
#pragma once

#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/detail/output_buffer.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

/// Makes a record: 'g' greeting, 'd' data, 'p' ping, 'q' answer to a ping, 'e' end, 'x' a violation. Between 's' and
/// 'r' of the server, the client encodes no data.
inline std::string record(char type, std::string_view bytes) {
    std::string made{type, static_cast<char>(bytes.size())};
    for (const char c : bytes)
        made += static_cast<char>(~c);
    return made;
}

class record_machine {
public:
    struct settings {
        std::string greeting = "hello";
        bool is_unusable = false;
        std::size_t record_bytes = 100;
    };
    static constexpr tern::connection_phase phase = tern::connection_phase::securing;
    static constexpr tern::errc late = tern::errc::tls_timeout;
    static std::chrono::milliseconds limit(const tern::open_timeouts& timeouts) noexcept { return timeouts.tls; }

    record_machine(const settings& s, const tern::endpoint& where) : settings_(s) {
        if (s.is_unusable) throw std::system_error(std::make_error_code(std::errc::invalid_argument));
        add('g', s.greeting + "@" + std::string(where.host));
    }

    std::string_view output() noexcept { return output_.view(); }
    std::size_t commit_output(std::size_t count) noexcept {
        output_.commit(count);
        std::size_t passed_on = 0;
        for (; !records_.empty() && count >= records_.front().left; records_.pop_front()) {
            count -= records_.front().left;
            passed_on += records_.front().plain;
        }
        if (!records_.empty()) records_.front().left -= count;
        return passed_on;
    }
    bool is_ready() const noexcept { return is_ready_; }

    std::size_t read(std::string_view raw, std::span<char> plain, std::error_code& error) {
        raw_ += raw;
        while (raw_.size() >= 2 && raw_.size() - 2 >= static_cast<unsigned char>(raw_[1])) {
            const std::size_t size = static_cast<unsigned char>(raw_[1]);
            std::string body = raw_.substr(2, size);
            for (char& c : body)
                c = static_cast<char>(~c);
            take(raw_[0], body);
            raw_.erase(0, 2 + size);
        }
        const std::size_t count = std::min(plain.size(), plain_.size());
        std::copy_n(plain_.begin(), count, plain.begin());
        plain_.erase(0, count);
        if (count == 0) error = error_;
        return count;
    }
    bool has_plain() const noexcept { return !plain_.empty() || error_; }

    template <class Buffers>
    std::size_t write(const Buffers& buffers) {
        if (is_stopped_) return 0;
        std::string bytes(std::min(asio::buffer_size(buffers), 3 * settings_.record_bytes), '\0');
        asio::buffer_copy(asio::buffer(bytes), buffers);
        for (std::size_t at = 0; at < bytes.size(); at += settings_.record_bytes)
            add('d', std::string_view(bytes).substr(at, settings_.record_bytes));
        return bytes.size();
    }
    void shutdown() { add('e', ""); }
    void trim() noexcept {}

private:
    struct sent {
        std::size_t left;
        std::size_t plain;
    };

    void add(char type, std::string_view bytes) {
        const std::string made = record(type, bytes);
        output_.append(made);
        records_.push_back({made.size(), type == 'd' ? bytes.size() : 0});
    }

    void take(char type, const std::string& body) {
        if (type == 'g') {
            is_ready_ = body == settings_.greeting;
            if (!is_ready_) error_ = std::make_error_code(std::errc::protocol_error);
        } else if (type == 'd') {
            plain_ += body;
        } else if (type == 'p') {
            add('q', body);
        } else if (type == 's' || type == 'r') {
            is_stopped_ = type == 's';
        } else if (type == 'e') {
            error_ = asio::error::eof;
        } else {
            error_ = std::make_error_code(std::errc::protocol_error);
            add('x', "why");
        }
    }

    settings settings_;
    tern::detail::output_buffer output_;
    std::deque<sent> records_;
    std::string raw_;
    std::string plain_;
    std::error_code error_;
    bool is_ready_ = false;
    bool is_stopped_ = false;
};
