// What packets borrow: lists from any contiguous range, and payloads as text or as bytes.
#include "catch.hpp"
#include "codec_test.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace borrowing {

using namespace tern;

template <class List, class Range>
concept borrows = std::is_convertible_v<Range, List>;

template <class List, class Item>
constexpr bool borrows_any_range = // all of them as an lvalue, const and not
    borrows<List, std::vector<Item>&> && borrows<List, const std::vector<Item>&> &&
    borrows<List, std::array<Item, 2>&> && borrows<List, const std::array<Item, 2>&> &&
    borrows<List, std::array<const Item, 2>&> && borrows<List, std::span<Item>> &&
    borrows<List, std::span<const Item>> && borrows<List, const std::span<Item>&> &&
    borrows<List, const std::span<const Item>&> && borrows<List, std::span<Item, 2>> &&
    borrows<List, std::span<const Item, 2>> && borrows<List, Item (&)[2]> && borrows<List, const Item (&)[2]>;

static_assert(borrows_any_range<user_properties_view, user_property>);
static_assert(borrows_any_range<subscriptions_view, subscription>);
static_assert(borrows_any_range<filters_view, std::string_view>);
static_assert(!borrows<user_properties_view, std::vector<std::string_view>&>);
static_assert(!borrows<user_properties_view, user_property&>);

} // namespace borrowing

TEST_CASE("user properties are borrowed from every kind of contiguous range") {
    using namespace borrowing;
    const user_property in_array[] = {{"unit", "celsius"}, {"room", "kitchen"}};
    std::vector<user_property> in_vector(std::begin(in_array), std::end(in_array));
    const std::array<user_property, 2> in_std_array{in_array[0], in_array[1]};
    const message_properties a{.user_properties = in_array}, b{.user_properties = in_vector},
        c{.user_properties = in_std_array}, d{.user_properties = std::span(in_vector)};
    CHECK(a == b);
    CHECK(a == c);
    CHECK(a == d);
    CHECK(d.user_properties.size() == 2);
}

TEST_CASE("a payload is text or bytes") {
    using namespace borrowing;
    const std::array bytes{std::byte{0}, std::byte{0xFF}, std::byte{7}};
    const message_view view{.topic = "t", .payload = as_payload(bytes)};
    CHECK(std::ranges::equal(view.payload_bytes(), bytes));
    const message copy(view);
    CHECK(std::ranges::equal(copy.payload_bytes(), bytes));
    CHECK(copy.payload_bytes().data() != view.payload_bytes().data());
    CHECK(message_view{}.payload_bytes().empty());
}
