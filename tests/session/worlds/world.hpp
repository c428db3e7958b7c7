// A random world: an application, a session, a link that is cut, and a broker. Everything follows from the seed.
//
// First come some hundred disturbed steps. Then the world is calm: the owner of the session is prompt, the broker
// answers, and everything must complete within a bound of virtual time.
#pragma once

#include "session/session_driver.hpp"
#include "session/worlds/broker.hpp"
#include "session/worlds/client_wire.hpp"
#include "session/worlds/ledger.hpp"
#include "session/worlds/story.hpp"
#include "support/heap.hpp"

#include <chrono>
#include <map>
#include <new>
#include <set>
#include <string>
#include <vector>

namespace worlds {

using namespace std::chrono_literals;

class world {
public:
    world(unsigned seed, story& told);

    void run();

private:
    // ---- world_steps.cpp: the disturbed world
    void step();
    void begin_run();
    void act();
    void request_publish();
    void request_subscribe();
    void request_unsubscribe();
    void request_other();
    void cancel();
    void leave();
    void end_run();
    void change_broker();
    void change_delivery();
    void wait();
    void cut(const char* why);

    // ---- world_owner.cpp: the owner of the session
    template <class F>
    bool has_memory_for(F&& call);
    template <class F>
    bool is_accepted(F&& request);
    void perform(tern::transport_action action);
    void write(std::size_t most);
    void read(std::size_t most);
    void pass(std::size_t most);
    void read_packet(const std::string& packet);
    void note_connack(const std::string& packet, bool processed);
    void forget_wishes();
    bool only_drains_are_open();
    void release();
    void note_connecting(std::uint16_t port);
    void run_deadline();
    void poll();
    void on_event(const tern::event& e);
    void on_received(const tern::received& r);
    void on_completed(const tern::completed& c);
    void on_change(const tern::connection_event_view& e);
    void lose_connection(std::error_code cause);
    std::string pending() const;

    // ---- world_calm.cpp: the calm world, and what must hold in it
    void calm_down();
    void be_calm_until_all_is_done();
    bool is_done();
    std::string remains();
    bool move_everything();
    void check_rest();
    void check_subscriptions();
    void check_registry();
    void idle();
    void lose_long_connection();
    void fall_silent();

    struct held_message {
        tern::message_token token;
        unsigned number;
    };

    bool v5() const noexcept { return version_ == tern::protocol_version::v5; }
    bool is_open() const noexcept { return link_ == link_state::open; }

    enum class link_state : std::uint8_t { closed, open };

    chance random_;
    story& story_;
    tern::protocol_version version_;
    ledger requests_;
    broker broker_;
    client_wire wire_;
    std::size_t heap_before_;
    tern::session session_;
    tern::time_point now_{std::chrono::hours(1)};
    tern::time_point silent_since_{}; // the last sign of life that the client could notice
    tern::time_point written_at_{};

    tern::connect_options options_;
    link_state link_ = link_state::closed;
    bool is_calm_ = false;
    bool is_first_connection_ = true; // of the run
    std::uint64_t believed_session_ = 0;
    bool seed_keeps_no_session_;
    bool seed_forgets_subscriptions_;
    bool is_leaving_ = false;                 // after disconnect
    unsigned doubts_ = 0;                     // how often CONNECT had no CONNACK
    unsigned attempts_ = 0;                   // of this run
    std::map<unsigned, std::string> aliases_; // the topics of the application's aliases
    std::uint16_t failed_port_ = 0;           // of the last attempt of this run, or 0 after a connection
    bool gives_back_ = false;              // the application has no memory for a message: the connection must be closed
    bool ends_session_ = false;            // the session ends with the run
    std::chrono::seconds asked_expiry_{0}; // 5.0: the session expiry interval
    std::chrono::seconds expiry_{0};       // as the broker has set it
    std::string to_broker_;
    std::string read_tail_; // the beginning of a packet that the client has read
    std::vector<held_message> held_;
    tern::delivery delivery_ = tern::delivery::open;
    std::set<std::string> refused_renewals_;

    // What the application wants, as far as it knows: the newest request for each filter that had an effect.
    struct wish {
        unsigned number = 0;
        tern::qos max_qos{};
        enum class state : std::uint8_t { subscribed, unsubscribed, unknown } is = state::unknown;
        std::uint64_t session = 0;
    };
    std::map<std::string, wish> wishes_;
};

// Calls the session, sometimes with too little memory. False if an allocation failed.
template <class F>
bool world::has_memory_for(F&& call) {
    const bool fails = !is_calm_ && random_.one_in(30);
    if (fails) heap::fail(1 + random_.below(5), 1 + random_.below(4));
    try {
        call();
        heap::stop_failing();
        return true;
    } catch (const std::bad_alloc&) {
        heap::stop_failing();
    }
    story_.line("    out of memory");
    return false;
}

template <class F>
bool world::is_accepted(F&& request) {
    tern::errc error = tern::errc::none;
    return has_memory_for([&] { error = request(); }) && error == tern::errc::none;
}

} // namespace worlds
