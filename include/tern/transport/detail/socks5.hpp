// The negotiation with a SOCKS5 proxy [RFC 1928], with user name and password [RFC 1929].
//
//     greeting is written -> method -> (user name and password are written -> authentication ->)
//     request is written -> reply -> ready
//
// A byte that the protocol does not allow, or a refusal, is an error as soon as it arrives. The proxy resolves names.
// All bytes after the reply come from the broker.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/detail/proxy_dialog.hpp"
#include "tern/transport/proxy_error.hpp"
#include "tern/transport/proxy_options.hpp"

#include <asio/ip/address.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

class socks5 {
public:
    /// Why no request can be made for this target.
    TERN_COLD static errc validate(const proxy_options& proxy, const endpoint& target) noexcept {
        if (target.host.empty()) return errc::empty_host;
        if (target.host.size() > 255) return errc::invalid_host;
        if (!proxy.user_name && !proxy.password) return errc::none;
        const bool has_user_name = proxy.user_name && !proxy.user_name->empty() && proxy.user_name->size() <= 255;
        const bool has_password = proxy.password && !proxy.password->empty() && proxy.password->size() <= 255;
        return has_user_name && has_password ? errc::none : errc::invalid_argument; // [RFC 1929 §2]
    }

    /// Requires that `check` has found nothing.
    TERN_COLD socks5(const proxy_options& proxy, const endpoint& target) : request_(connect_request(target)) {
        if (proxy.user_name) login_ = login(*proxy.user_name, *proxy.password);
        dialog_.send(login_.empty() ? std::string("\5\1\0", 3) : std::string("\5\2\0\2", 4));
    }

    std::string_view output() const noexcept { return dialog_.output(); }
    std::size_t commit_output(std::size_t count) noexcept { return dialog_.commit_output(count); }

    bool is_ready() const noexcept { return step_ == step::ready; }

    TERN_COLD std::size_t read(std::string_view raw, std::span<char>, std::error_code& error) {
        error = {};
        while (!raw.empty() && step_ != step::ready) {
            if (!output().empty()) { // the answer precedes the question
                error = proxy_errc::invalid_answer;
                return 0;
            }
            answer_[size_++] = static_cast<unsigned char>(raw.front());
            raw.remove_prefix(1);
            error = take_byte();
            if (error) return 0;
        }
        dialog_.keep(raw);
        return 0;
    }

    std::string_view leftover() const noexcept { return dialog_.leftover(); }

private:
    enum class step : std::uint8_t {
        method,         ///< The proxy chooses the method of authentication.
        authentication, ///< The proxy checks user name and password.
        reply,          ///< The proxy connects to the broker.
        ready,          ///< The proxy is connected to the broker.
    };

    static std::string login(const std::string& user_name, const std::string& password) {
        std::string text("\1");
        text += static_cast<char>(user_name.size());
        text += user_name;
        text += static_cast<char>(password.size());
        return text += password;
    }

    // [RFC 1928 §4]
    TERN_COLD static std::string connect_request(const endpoint& target) {
        std::string text("\5\1\0", 3);
        std::error_code is_name;
        const asio::ip::address address = asio::ip::make_address(std::string(target.host), is_name);
        const auto append = [&text](const auto& bytes) {
            for (const unsigned char byte : bytes)
                text += static_cast<char>(byte);
        };
        if (is_name) {
            text += '\3';
            text += static_cast<char>(target.host.size());
            text += target.host;
        } else if (address.is_v4()) {
            text += '\1';
            append(address.to_v4().to_bytes());
        } else {
            text += '\4';
            append(address.to_v6().to_bytes());
        }
        text += static_cast<char>(target.port >> 8U);
        return text += static_cast<char>(target.port & 0xFFU);
    }

    // The last byte of `answer_` is new.
    std::error_code take_byte() {
        switch (step_) {
        case step::method: return take_method();
        case step::authentication: return take_authentication();
        default: return take_reply();
        }
    }

    std::error_code take_method() {
        if (answer_[0] != 5) return proxy_errc::invalid_answer;
        if (size_ == 1) return {};
        const unsigned method = answer_[1];
        if (method == 0xFF) return proxy_errc::no_acceptable_method;
        if (method != 0 && (method != 2 || login_.empty())) return proxy_errc::invalid_answer;
        if (method == 2)
            begin(step::authentication, login_);
        else
            begin(step::reply, request_);
        return {};
    }

    std::error_code take_authentication() {
        if (answer_[0] != 1) return proxy_errc::invalid_answer;
        if (size_ == 1) return {};
        if (answer_[1] != 0) return proxy_errc::authentication_failed;
        begin(step::reply, request_);
        return {};
    }

    // [RFC 1928 §6] Some proxies end a refusal before its address.
    std::error_code take_reply() noexcept {
        switch (size_) {
        case 1: return answer_[0] == 5 ? std::error_code() : proxy_errc::invalid_answer;
        case 2: return answer_[1] == 0 ? std::error_code() : refusal(answer_[1]);
        case 3: return {};
        default: break;
        }
        std::size_t address_size = 0;
        switch (answer_[3]) {
        case 1: address_size = 4; break;
        case 3: address_size = std::size_t{1} + answer_[4]; break; // the size of the name comes first
        case 4: address_size = 16; break;
        default: return proxy_errc::invalid_answer;
        }
        if (size_ == 4 + address_size + 2) step_ = step::ready;
        return {};
    }

    static std::error_code refusal(unsigned code) noexcept {
        return code <= 8 ? static_cast<proxy_errc>(code) : proxy_errc::unknown_reply;
    }

    // The strings are not needed any more.
    void begin(step next, std::string& request) noexcept {
        step_ = next;
        size_ = 0;
        answer_ = {};
        dialog_.send(std::move(request));
    }

    proxy_dialog dialog_;
    std::string login_; // empty: without authentication
    std::string request_;
    std::array<unsigned char, 4 + 256 + 2> answer_ = {};
    std::size_t size_ = 0; // of the answer so far
    step step_ = step::method;
};

} // namespace tern::detail
