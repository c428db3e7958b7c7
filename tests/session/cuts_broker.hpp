// A broker with a single client. It keeps the session, answers immediately, and reports each violation by the client.
// It is a value, so that a run can be forked.
//
// The protocol has one gap. A broker that has lost the session reports that in one CONNACK only. If this CONNACK is
// lost, the next one has "session present", and the client cannot detect the loss. A QoS 2 message may then arrive
// twice, in each direction, but it is never lost. The checks allow that, and nothing else: a client whose CONNECT was
// not answered must therefore resubscribe, and does not trust the identifiers of before.
#pragma once

#include "cuts.hpp"
#include "session_driver.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace cuts {

/// The broker refuses to subscribe and publish to topics with this prefix.
inline constexpr std::string_view forbidden = "no/";

/// A violated rule.
struct failure {
    std::string text;
};
[[noreturn]] void fail(std::string text);

/// Whether a run prints its steps.
inline bool tracing = false;
void trace(const char* who, std::string_view bytes);

/// An operation of the client or a message of the broker. Its number is both the op id and the payload.
struct record {
    act what = act::publish;
    unsigned qos = 0;
    std::string_view topic = {};
    std::string_view more = {};

    // for the client
    bool open = false; // the operation has not completed
    bool withdrawn = false;
    bool given_back = false;
    unsigned given_back_on = 0; // the last connection before
    bool may_expire = false;
    std::error_code error = {};

    unsigned first_connection = 0; // the first one on which it can have been sent

    // at the broker
    unsigned arrived = 0;
    unsigned epoch = 0;      // the session of its last arrival
    unsigned connection = 0; // the connection of its last arrival
    tern::packet_id id = 0;
    bool released = false; // by PUBREL

    // to the client
    unsigned granted_qos = 0;
    unsigned order = 0; // of its first forwarding
    unsigned least = 0; // minimum number of deliveries
    unsigned most = 0;  // maximum number of deliveries, with QoS 0 and 2
    unsigned delivered = 0;
};
using ledger = std::vector<record>;

/// The broker's state after a cut.
enum class fate : std::uint8_t {
    kept,    // it resumes the session
    lost,    // it has lost the session
    refused, // it refuses one attempt, then resumes the session
    barred,  // it refuses all attempts
};

class broker {
public:
    explicit broker(const terms& t) : terms_(&t) {}

    void open(tern::time_point now);
    void close(ledger& all);
    bool is_open() const noexcept { return open_; }
    bool wants_close() const noexcept { return open_ && ended_; }
    void on_bytes(std::string_view bytes, ledger& all, tern::time_point now);
    void on_time(tern::time_point now) const; // requires that keep alive is met
    std::string_view output() const noexcept { return std::string_view(output_).substr(seen_); }
    void on_read(std::size_t count) noexcept { seen_ += count; }

    /// The user calls connect. The next CONNECT may start a new session.
    void on_user_connect() noexcept { may_begin_anew_ = true; }
    void set_fate(fate f, ledger& all);
    /// The broker loses the session as soon as no client is connected.
    void lose(ledger& all);
    void pass_on(std::size_t number, std::string_view topic, unsigned qos, bool retain, ledger& all);

    void kick();

    /// Nothing is in flight to the client.
    bool is_quiet() const noexcept { return deliveries_.empty() && queue_.empty() && (!open_ || output().empty()); }
    /// A message of the client awaits PUBREL.
    bool has_open_ids() const noexcept { return !arrivals_.empty(); }
    unsigned losses() const noexcept { return losses_; }
    /// Whether the client cannot have detected the last loss of the session.
    bool has_hidden_loss() const noexcept { return hides_loss_; }
    /// Whether the client has resumed a session after a CONNECT without an answer.
    bool has_doubt() const noexcept { return doubted_; }
    unsigned connection() const noexcept { return connection_; }
    /// The connection after which the broker lost a session last.
    unsigned last_loss() const noexcept { return last_loss_; }
    std::optional<unsigned> granted(std::string_view filter) const;
    std::size_t subscriptions() const noexcept { return subscriptions_.size(); }

private:
    struct subscription {
        std::string filter;
        unsigned qos = 0;
        std::optional<std::uint32_t> identifier;
        bool no_local = false;
    };
    struct retained {
        std::string topic;
        std::size_t number = 0;
        unsigned qos = 0;
    };
    // A QoS 2 message of the client that awaits PUBREL.
    struct arrival {
        tern::packet_id id = 0;
        std::size_t number = 0;
        std::size_t pubrec_end = 0; // its position in the output of this connection
        bool here = false;          // PUBLISH has arrived on this connection
    };
    // An acknowledgement on this connection. Its identifier is in use until the client has read it.
    struct ack {
        tern::packet_id id = 0;
        std::size_t end = 0;
        bool of_publish = false;
        bool pubcomp = false;
    };
    // A message to the client.
    struct delivery {
        std::size_t number = 0;
        unsigned qos = 0;
        std::string topic;
        tern::packet_id id = 0;
        std::optional<std::uint32_t> identifier;
        std::size_t end = 0; // in the output of this connection
        bool retain = false;
        bool released = false; // PUBREC has arrived and PUBREL is sent
    };

    bool v5() const noexcept { return terms_->options.version == protocol_version::v5; }
    template <class Packet>
    void put(const Packet& packet) {
        const std::size_t before = output_.size();
        ::put(output_, packet, terms_->options.version);
        trace("broker", std::string_view(output_).substr(before));
    }
    void on_frame(const tern::frame& f, ledger& all);
    void on(const tern::connect& p, ledger& all);
    void accept(const tern::connect& p, ledger& all);
    void on(const tern::auth& p, ledger& all);
    tern::auth auth_with(tern::reason_code code, std::optional<std::string_view> data = {}) const {
        return {
            code,
            {.authentication_method = terms_->options.properties.authentication_method, .authentication_data = data}};
    }
    void on(const tern::publish& p, ledger& all);
    void on(const tern::pubrel& p, ledger& all);
    void on(const tern::puback& p);
    void on(const tern::pubrec& p);
    void on(const tern::pubcomp& p);
    void on(const tern::subscribe& p, ledger& all);
    void on(const tern::unsubscribe& p);
    void on(const tern::pingreq&) { put(tern::pingresp{}); }
    void on(const tern::disconnect& p);
    template <class Packet>
    void decoded(const tern::frame& f, ledger& all);

    void lose_session(ledger& all);
    void check_limits(const tern::publish& p) const;
    std::string_view topic_of(const tern::publish& p);
    void check_repetition(const tern::publish& p, std::size_t number, const record& r);
    void arrive(const tern::publish& p, std::size_t number, ledger& all);
    void acknowledge(tern::packet_id id, bool of_publish, bool pubcomp = false) {
        acks_.push_back({id, output_.size(), of_publish, pubcomp});
    }
    std::size_t unacknowledged() const;
    bool is_in_use(tern::packet_id id) const;
    void deliver(const subscription& s, std::size_t number, std::string_view topic, unsigned qos, bool retain,
                 ledger& all);
    void pump();
    void send(delivery& d, bool dup);
    std::size_t find_delivery(tern::packet_id id) const;
    void check_order(std::size_t at) const;
    void remove_delivery(std::size_t at);

    const terms* terms_;

    // the session
    bool exists_ = false;
    unsigned epoch_ = 1;
    unsigned losses_ = 0;
    bool untold_loss_ = false;
    bool hides_loss_ = false;
    bool unanswered_ = false; // a connection has ended, and CONNACK was not read
    bool doubted_ = false;
    unsigned last_loss_ = 0;
    std::string client_id_;
    std::vector<subscription> subscriptions_;
    std::vector<arrival> arrivals_; // in the order of their PUBRECs
    std::vector<delivery> deliveries_;
    std::vector<delivery> queue_;
    tern::packet_id last_id_ = 0;
    std::chrono::seconds expiry_{0};

    // the broker
    std::vector<retained> retained_;
    std::array<std::size_t, 3> last_arrived_{}; // by QoS
    unsigned order_ = 0;
    unsigned assigned_ = 0;
    unsigned refusals_ = 0;
    bool barred_ = false;
    bool loses_ = false; // the session is lost when the connection ends
    bool may_begin_anew_ = true;
    bool told_ = false; // the client has read a CONNACK of this session

    // the connection
    unsigned connection_ = 0;
    bool open_ = false;
    std::optional<tern::connect> challenged_; // CONNECT, until the client has answered AUTH
    std::string challenged_id_;               // its client identifier
    bool reauthenticates_ = false;
    bool accepted_ = false;
    bool resumed_ = false;
    bool ended_ = false;
    bool said_disconnect_ = false;
    std::string input_;
    std::string output_; // of the whole connection
    std::size_t seen_ = 0;
    std::size_t connack_end_ = 0;
    std::vector<ack> acks_;
    std::size_t sent_ = 0; // the number of deliveries that were sent on this connection
    std::size_t last_repeated_ = 0;
    std::uint32_t receive_maximum_ = 65'535;
    std::vector<std::string> aliases_;
    std::chrono::seconds keep_alive_{};
    tern::time_point last_packet_{};
};

} // namespace cuts
