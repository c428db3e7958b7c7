// Enhanced authentication with SCRAM-SHA-256: the client proves that it knows the password without sending it, and
// verifies that the broker knows it, too. The broker is an embedded one with the other side of the exchange.
//
//     enhanced_auth             the right password, at a connection and again on it
//     enhanced_auth PASSWORD    another password, which the broker refuses
//     enhanced_auth --impostor  a broker that accepts everything, but does not know the password
//     enhanced_auth --vector    the exchange of RFC 7677 §3
#include "support/scram.hpp"
#include "tern/tern.hpp"
#include "tern/testing/broker.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

namespace {

using asio::use_awaitable;
namespace scram = example::scram;

// ---- the broker's side

tern::testing::authentication_exchange exchange_of_broker(std::string_view password) {
    return
        [side = scram::server("ann", password), step = 0](auto data) mutable -> tern::testing::authentication_answer {
            try {
                if (!data) return {tern::reason_code::not_authorized, {}};
                if (++step == 1) return {tern::reason_code::continue_authentication, side.first_message(*data)};
                const auto last = side.final_message(*data);
                if (!last) return {tern::reason_code::not_authorized, {}};
                return {tern::reason_code::success, last};
            } catch (const std::exception&) {
                return {tern::reason_code::not_authorized, {}};
            }
        };
}

// Accepts any proof. It cannot sign the exchange.
tern::testing::authentication_exchange exchange_of_impostor() {
    return [side = scram::server("ann", "guess"), step = 0](auto data) mutable -> tern::testing::authentication_answer {
        if (++step == 1) return {tern::reason_code::continue_authentication, side.first_message(*data)};
        return {tern::reason_code::success, "v=" + scram::to_base64(std::string(32, 'x'))};
    };
}

// ---- the client's side

class scram_authenticator {
public:
    scram_authenticator(std::string user, std::string password)
        : user_(std::move(user))
        , password_(std::move(password)) {}

    void operator()(tern::authentication_step step) {
        try {
            switch (step.stage()) {
            case tern::authentication_stage::begin:
                exchange_ = std::make_shared<scram::client>(user_, password_); // each has a nonce of its own
                step.answer(exchange_->first_message());
                break;
            case tern::authentication_stage::answer:
                step.answer(exchange_->final_message(step.data().value_or("")));
                break;
            case tern::authentication_stage::verify:
                if (!exchange_->accepts(step.data().value_or(""))) return step.fail();
                std::puts("the broker knows the password, too");
                step.answer();
                break;
            }
        } catch (const std::exception&) {
            step.fail();
        }
    }

private:
    std::string user_;
    std::string password_;
    std::shared_ptr<scram::client> exchange_;
};

asio::awaitable<void> authenticate(std::uint16_t port, std::string password) {
    tern::client client{co_await asio::this_coro::executor};
    client.set_authenticator(scram_authenticator("ann", std::move(password)));
    tern::connect_options options{.host = "127.0.0.1", .port = port, .client_id = "tern-enhanced-auth"};
    options.properties.authentication_method = scram::method;
    options.reconnect.enabled = false;
    co_await client.async_connect(options, use_awaitable);
    std::puts("connected");
    co_await client.async_reauthenticate(use_awaitable);
    std::puts("authenticated again");
    co_await client.async_disconnect(use_awaitable);
}

int print_vector() {
    scram::client side("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
    std::puts(side.first_message().c_str());
    std::puts(side.final_message("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
                                 "i=4096")
                  .c_str());
    return side.accepts("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    const std::string argument = argc > 1 ? argv[1] : "";
    try {
        if (argument == "--vector") return print_vector();
        asio::io_context context;
        tern::testing::broker_options options;
        options.on_authenticate = [&](std::string_view, std::string_view method) {
            if (method != scram::method) return tern::testing::authentication_exchange{};
            return argument == "--impostor" ? exchange_of_impostor() : exchange_of_broker("correct horse");
        };
        tern::testing::broker broker{context.get_executor(), options};
        const bool is_right = argument.empty() || argument == "--impostor";
        asio::co_spawn(context, authenticate(broker.listen(), is_right ? "correct horse" : argument),
                       [&](const std::exception_ptr& error) {
                           context.stop(); // the embedded broker would keep run() busy
                           if (error) std::rethrow_exception(error);
                       });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
