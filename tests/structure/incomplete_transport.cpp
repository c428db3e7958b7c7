// A client on a transport that lacks what a macro says. incomplete_transport.cmake compiles this, and expects a
// sentence in the compiler's output that says what is missing.
#include "tern/client/client.hpp"

#include <asio/any_io_executor.hpp>

#include <cstddef>
#include <system_error>

class own_transport {
public:
#if !defined(WITHOUT_EXECUTOR_TYPE)
    using executor_type = asio::any_io_executor;
#endif
    template <class Other>
    struct rebind_executor {
        using other = own_transport;
    };

    explicit own_transport(const asio::any_io_executor& executor) : executor_(executor) {}
#if defined(WITHOUT_MOVING)
    own_transport(own_transport&&) = delete;
#endif

#if !defined(WITHOUT_GET_EXECUTOR)
    asio::any_io_executor get_executor() { return executor_; }
#endif
#if !defined(WITHOUT_OPEN)
    template <class Token>
    void async_open(const tern::endpoint&, const tern::open_timeouts&, Token&&) {}
#endif
#if !defined(WITHOUT_PHASE)
    tern::connection_phase opening_phase() const noexcept { return {}; }
#endif
#if !defined(WITHOUT_READ)
    template <class Buffer, class Token>
    void async_read_some(const Buffer&, Token&&) {}
#endif
#if !defined(WITHOUT_WRITE)
    template <class Buffers, class Token>
    void async_write_some(const Buffers&, Token&&) {}
#endif
#if !defined(WITHOUT_SHUTDOWN)
    void shutdown_send() noexcept {}
#endif
#if defined(WITH_THROWING_CLOSE)
    void close() {}
#else
    void close() noexcept {}
#endif
#if defined(WITHOUT_READ_AT_ONCE)
    template <class Token>
    void async_wait_read(Token&&) {}
#endif
#if defined(WITH_WRONG_WRITE_AT_ONCE)
    template <class Buffers>
    int write_some(const Buffers&, std::error_code&) noexcept {
        return 0;
    }
#endif

private:
    asio::any_io_executor executor_;
};

std::shared_ptr<tern::detail::engine_base<asio::any_io_executor>> make(const asio::any_io_executor& executor) {
    return tern::detail::make_engine<own_transport>(executor);
}
