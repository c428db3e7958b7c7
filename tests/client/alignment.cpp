// Handlers whose captures need more alignment than `operator new` gives by default, such as `__m256`.
#include "client_test.hpp"
#include "tern/client/detail/transport/buffers.hpp"

#include <asio/bind_executor.hpp>

namespace {

// Its size varies, so that blocks of several sizes are reused.
template <std::size_t Size>
struct alignas(64) vector_register {
    std::array<char, Size> values = {};

    bool is_aligned() const { return reinterpret_cast<std::uintptr_t>(this) % 64 == 0; }
};

struct counted_calls {
    int right = 0;
    int all = 0;
};

template <std::size_t Size>
auto aligned_handler(counted_calls& calls) {
    return [&calls, captured = vector_register<Size>()](std::error_code error, const auto&...) {
        CHECK(error == std::error_code{});
        ++calls.all;
        if (captured.is_aligned()) ++calls.right;
    };
}

// Asio gives what it posts to a strand the alignment of `operator new` alone, where it knows no function that aligns
// more: that is so with MinGW-w64.
#if defined(ASIO_HAS_STD_ALIGNED_ALLOC) || defined(ASIO_MSVC)
constexpr bool asio_aligns = true;
#else
constexpr bool asio_aligns = false;
#endif

TEMPLATE_TEST_CASE_SIG("A handler may capture objects of any alignment", "", ((std::size_t Size), Size), 1, 65, 129,
                       1000) {
    broker_fixture w;
    counted_calls calls, in_strand;
    const auto handler = aligned_handler<Size>(calls);
    const auto strand_handler = aligned_handler<Size>(in_strand);
    w.client.async_connect(once({.client_id = "c"}), handler);
    for (int i = 0; i != 20; ++i) { // blocks of other operations are free, and need not be aligned
        w.client.async_publish({.topic = "t"}, [](std::error_code, const auto&) {});
        settle(w.io);
        w.client.async_publish({.topic = "t", .qos = qos::exactly_once}, handler);
        w.client.async_publish({.topic = "t"}, asio::bind_executor(asio::make_strand(w.io), strand_handler));
        w.client.async_ping(handler);
    }
    CHECK(run_until(w.io, [&] { return calls.all == 41 && in_strand.all == 20; }));
    CHECK(calls.right == 41);
    if (asio_aligns) CHECK(in_strand.right == 20);
}

// The same, in the two pools of the client.
TEST_CASE("Reused memory is aligned for every type") {
    tern::detail::operation_pool pool;
    tern::detail::pool_allocator<vector_register<64>> from_pool(&pool);
    tern::detail::reusable_allocation::allocator<vector_register<64>> from_block(
        std::make_shared<tern::detail::reusable_allocation>());
    for (int i = 0; i != 10; ++i) {
        void* const usual = pool.allocate(64);
        pool.deallocate(usual, 64);
        auto* const a = from_pool.allocate(1);
        auto* const b = from_block.allocate(1);
        CHECK((::new (static_cast<void*>(a)) vector_register<64>())->is_aligned());
        CHECK((::new (static_cast<void*>(b)) vector_register<64>())->is_aligned());
        from_pool.deallocate(a, 1);
        from_block.deallocate(b, 1);
    }
}

} // namespace
