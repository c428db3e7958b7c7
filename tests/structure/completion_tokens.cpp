// Calls of a client with arguments that do not fit. completion_tokens.cmake compiles this, once for each macro, and
// expects a sentence, or the signature, in the compiler's output. Boost is not needed.
#include "tern/client/basic_client.hpp"
#include "tern/transport/tcp.hpp"
#if defined(SHARED_BOOST_TOKEN) || defined(SHARED_BOOST_CONTEXT) || defined(SHARED_WRONG_CALL_HANDLER)
#include "tern/messaging/shared_client.hpp"
#endif

#include <asio/detached.hpp>

#include <system_error>

// Types like those of Boost.Asio.
namespace boost::asio {

struct any_io_executor {};
class io_context {};
struct use_awaitable_t {};
inline constexpr use_awaitable_t use_awaitable;
struct use_future_t {
    template <class T>
    int operator()(T&&) const {
        return 0;
    }
};
inline constexpr use_future_t use_future;

} // namespace boost::asio

using client_type = tern::basic_client<tern::tcp>;

// A handler whose type is named after the function, with a parameter of Boost, is no type of Boost.
auto make_handler(boost::asio::io_context&) {
    return [](std::error_code, const tern::acknowledgement&) {};
}

void test(client_type& client) {
    boost::asio::io_context context;
    client.async_publish("t", "p", make_handler(context));
    client.async_subscribe({.filter = "t"}, asio::detached);
#if defined(WRONG_CONNECT_HANDLER)
    client.async_connect({}, [](std::error_code) {});
#elif defined(WRONG_PUBLISH_HANDLER)
    client.async_publish({.topic = "t"}, [](std::error_code, int) {});
#elif defined(WRONG_SUBSCRIBE_HANDLER)
    client.async_subscribe("t", tern::qos::at_most_once, [](std::error_code) {});
#elif defined(WRONG_UNSUBSCRIBE_HANDLER)
    client.async_unsubscribe("t", 7);
#elif defined(WRONG_RECEIVE_HANDLER)
    client.async_receive([](const tern::received_message&) {});
#elif defined(WRONG_EVENT_HANDLER)
    client.async_next_event([] {});
#elif defined(WRONG_PING_HANDLER)
    client.async_ping([](const char*) {});
#elif defined(NO_TOKEN)
    client.async_publish("t", "p", tern::qos::at_most_once);
#elif defined(BRACED_FILTERS)
    client.async_unsubscribe({"a", "b"}, asio::detached); // not one filter between two iterators
#elif defined(BOOST_TOKEN)
    client.async_publish({.topic = "t"}, boost::asio::use_awaitable);
#elif defined(BOOST_CALLABLE_TOKEN)
    client.async_ping(boost::asio::use_future);
#elif defined(BOOST_CONTEXT)
    client_type other{context};
#elif defined(BOOST_EXECUTOR)
    client_type other{boost::asio::any_io_executor()};
#elif defined(BOOST_CLIENT)
    using foreign_client = tern::basic_client<tern::tcp, boost::asio::any_io_executor>;
    extern foreign_client other;
    other.cancel();
#elif defined(SHARED_BOOST_TOKEN)
    extern tern::shared_client shared;
    shared.async_publish({.topic = "t"}, boost::asio::use_awaitable);
#elif defined(SHARED_BOOST_CONTEXT)
    tern::shared_client shared{context};
#elif defined(SHARED_WRONG_CALL_HANDLER)
    extern tern::shared_client shared;
    shared.async_call([](auto&) { return 1; }, [](std::error_code) {});
#endif
}
