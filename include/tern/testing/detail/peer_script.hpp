// The script of a scripted peer: a sequence of steps over a sequence of connections.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/escape.hpp"
#include "tern/error.hpp"
#include "tern/testing/link.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/post.hpp>

#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::testing::detail {

inline std::string quoted(std::string_view bytes) {
    std::string text;
    tern::detail::append_quoted(text, bytes, 200);
    return text;
}

// A packet encoded for both versions, because the CONNECT that decides the version may come later.
class encoded {
public:
    template <packet Packet>
    explicit encoded(const Packet& p)
        : name_(to_string(Packet::type))
        , v3_1_1_(encode_as(p, protocol_version::v3_1_1))
        , v5_(encode_as(p, protocol_version::v5)) {}

    std::string_view name() const noexcept { return name_; }
    const result<std::string>& in(protocol_version version) const noexcept {
        return version == protocol_version::v5 ? v5_ : v3_1_1_;
    }

private:
    template <packet Packet>
    static result<std::string> encode_as(const Packet& p, protocol_version version) {
        const auto size = encoded_size(p, version);
        if (!size) return size.error();
        std::string bytes(*size, '\0');
        if (const auto end = encode(p, version, bytes); !end) return end.error();
        return bytes;
    }

    std::string_view name_;
    result<std::string> v3_1_1_;
    result<std::string> v5_;
};

// A connection of the peer. It reads all input, and writes all queued output.
class peer_connection : public std::enable_shared_from_this<peer_connection> {
public:
    peer_connection(link s, std::function<void()> on_change) : stream(std::move(s)), on_change_(std::move(on_change)) {}

    void read() {
        stream.async_read_some(asio::buffer(buffer_),
                               [self = shared_from_this()](std::error_code error, std::size_t size) {
                                   if (!self->is_ignored) self->input.append(self->buffer_.data(), size);
                                   self->end = error;
                                   if (!error) self->read();
                                   self->on_change_();
                               });
    }
    void send(std::string_view bytes) {
        queued_ += bytes;
        if (!writing_) write();
    }
    bool is_flushed() const noexcept { return !writing_; }

    link stream;
    std::string input;
    bool is_ignored = false; // the script ignores further input
    std::error_code end;     // the error that ended the input
    protocol_version version = protocol_version::v5;

private:
    void write() {
        if (output_.empty()) output_.swap(queued_);
        writing_ = !output_.empty();
        if (!writing_) return;
        stream.async_write_some(asio::buffer(output_),
                                [self = shared_from_this()](std::error_code error, std::size_t size) {
                                    if (error) self->queued_.clear();
                                    self->output_.erase(0, error ? std::string::npos : size);
                                    self->write();
                                    self->on_change_();
                                });
    }

    std::function<void()> on_change_;
    std::array<char, 4096> buffer_ = {};
    std::string queued_;
    std::string output_; // the bytes of the write in progress
    bool writing_ = false;
};

class peer_script : public std::enable_shared_from_this<peer_script> {
public:
    // Returns whether the step is complete. An incomplete step is called again after the next change.
    using action = std::function<bool(peer_script&)>;

    peer_script(const asio::any_io_executor& executor, const virtual_clock& c) : clock(c), timer(executor, c) {}

    void accept(link stream) {
        if (stopped_) return;
        const auto made = std::make_shared<peer_connection>(std::move(stream), [weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->schedule();
        });
        connections_.push_back(made);
        made->read();
        schedule();
    }

    void add(std::string text, action act, std::optional<packet_type> expected = {}) {
        steps_.push_back({std::move(text), std::move(act), expected});
        schedule();
    }
    void schedule() {
        if (std::exchange(scheduled_, true)) return;
        asio::post(timer.get_executor(), [self = shared_from_this()] {
            self->scheduled_ = false;
            self->run();
        });
    }
    void stop() {
        stopped_ = true; // a step may call this function, so the steps stay alive
        timer.cancel();
        at_ = 0;
        for (const auto& each : std::exchange(connections_, {}))
            each->stream.close();
    }

    // ---- called by the steps

    // The current connection of the script; null before the client has connected.
    peer_connection* current() {
        peer_connection* const found = find();
        if (found) is_used_ = true;
        return found;
    }
    // Moves the script to the next connection, if the script has used the current one.
    void leave() {
        if (std::exchange(is_used_, false)) ++at_;
    }
    // Ignores all accepted connections, used or not, and moves the script to the next one.
    void ignore_all() {
        for (const auto& each : connections_) {
            each->is_ignored = true;
            each->input.clear();
        }
        at_ = connections_.size();
        is_used_ = false;
    }

    // The next packet, valid until the next call; empty if it is incomplete or malformed.
    std::string_view take() {
        peer_connection* const from = current();
        if (!from) return {};
        const auto found = next_frame(from->input);
        if (!found) {
            fail("received " + detail::quoted(from->input) + ", which is no packet", found.error());
            return {};
        }
        if (!found->complete) {
            if (from->end) fail("the connection has ended: " + from->end.message());
            return {};
        }
        return take(*from, found->size);
    }
    // The next packet, if it is complete.
    std::string_view take_if_complete() {
        peer_connection* const from = current();
        if (!from) return {};
        const auto found = next_frame(from->input);
        return found && found->complete ? take(*from, found->size) : std::string_view{};
    }
    // The last packet taken.
    std::string_view taken() const noexcept { return packet_; }
    packet_type taken_type() const {
        return packet_.empty() ? packet_type{} : static_cast<packet_type>(static_cast<unsigned char>(packet_[0]) >> 4);
    }
    std::string describe_taken() const {
        return packet_.empty() ? "nothing" : std::string(to_string(taken_type())) + ' ' + detail::quoted(packet_);
    }
    template <packet Packet>
    result<Packet> decode_as() {
        const auto found = next_frame(packet_);
        if (!found) return found.error();
        if (!found->complete || found->frame.type() != Packet::type) return errc::invalid_packet_type;
        return decode<Packet>(found->frame, current() ? current()->version : protocol_version::v5);
    }

    bool send(const encoded& p) {
        peer_connection* const to = current();
        if (!to) return false;
        const auto& bytes = p.in(to->version);
        if (!bytes) {
            fail("the standard forbids to send this " + std::string(p.name()), bytes.error());
            return false;
        }
        to->send(*bytes);
        return true;
    }

    void fail(const std::string& why, errc error) { fail(why + ": " + std::string(to_string(error))); }
    void fail(const std::string& why) {
        failure_ = "step " + std::to_string(done_ + 1) + ", ";
        if (!steps_.empty()) failure_ += steps_.front().text + ": ";
        failure_ += why;
    }

    // ---- called by `scripted_peer`

    const std::string& failure() const noexcept { return failure_; }
    bool is_done() const {
        if (!failure_.empty()) return true;
        for (const auto& each : connections_)
            if (!each->is_flushed() && !each->end) return false;
        return steps_.empty();
    }
    bool is_silent() const {
        for (const auto& each : connections_)
            if (!each->input.empty()) return false;
        return true;
    }
    std::string status() const {
        if (!failure_.empty()) return failure_;
        if (steps_.empty()) return "all " + std::to_string(done_) + " steps are done";
        return "step " + std::to_string(done_ + 1) + " of " + std::to_string(done_ + steps_.size()) + ", " +
               steps_.front().text + (find() ? "" : ": waits for a connection");
    }

    virtual_clock clock;
    virtual_timer timer; // the timer of the current step
    bool answers_pings = false;

private:
    struct step {
        std::string text;
        action act;
        std::optional<packet_type> expected;
    };

    std::string_view take(peer_connection& from, std::size_t size) {
        packet_ = from.input.substr(0, size);
        from.input.erase(0, size);
        if (const auto p = decode_as<connect>(); p) from.version = p->version;
        return packet_;
    }

    peer_connection* find() const { return at_ == connections_.size() ? nullptr : connections_[at_].get(); }

    void run() {
        while (failure_.empty() && !stopped_) {
            if (answers_pings) answer_pings();
            if (steps_.empty()) return hang_up();
            if (!steps_.front().act(*this) || stopped_) return;
            if (!failure_.empty()) return;
            steps_.pop_front();
            ++done_;
        }
    }
    // Closes each connection that the client has ended, as a server does, after the queued output is written.
    void hang_up() {
        for (const auto& each : connections_)
            if (each->end && each->is_flushed()) each->stream.close();
    }
    void answer_pings() {
        static constexpr std::string_view request("\xC0\0", 2);
        static constexpr std::string_view response("\xD0\0", 2);
        peer_connection* const from = find();
        if (!from || (!steps_.empty() && steps_.front().expected == packet_type::pingreq)) return;
        while (from->input.starts_with(request)) {
            from->input.erase(0, request.size());
            from->send(response);
        }
    }

    std::deque<step> steps_;
    std::size_t done_ = 0;
    std::vector<std::shared_ptr<peer_connection>> connections_;
    std::size_t at_ = 0;
    bool is_used_ = false;
    std::string packet_;
    std::string failure_;
    bool scheduled_ = false;
    bool stopped_ = false;
};

} // namespace tern::testing::detail
