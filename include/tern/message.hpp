// Application messages: `message_view` borrows, `message` owns. `owned` makes the owning version of any view:
// a copy of everything that the view points to, in one block of memory.
#pragma once

#include "tern/detail/fields.hpp"
#include "tern/property.hpp"
#include "tern/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tern {

/// The properties of a message [§3.3.2.3]. 5.0 only.
struct message_properties {
    std::optional<payload_format> payload_format_indicator = {};
    std::optional<std::chrono::seconds> message_expiry_interval = {};
    std::optional<std::uint16_t> topic_alias = {};
    std::optional<std::string_view> response_topic = {};
    std::optional<std::string_view> correlation_data = {};
    std::optional<std::string_view> content_type = {};
    subscription_identifiers_view subscription_identifiers = {}; ///< only from the broker
    user_properties_view user_properties = {};

    friend constexpr bool operator==(const message_properties&, const message_properties&) = default;

    using fields = detail::field_list<
        detail::field<property_id::payload_format_indicator, &message_properties::payload_format_indicator>,
        detail::field<property_id::message_expiry_interval, &message_properties::message_expiry_interval>,
        detail::field<property_id::topic_alias, &message_properties::topic_alias>,
        detail::field<property_id::response_topic, &message_properties::response_topic>,
        detail::field<property_id::correlation_data, &message_properties::correlation_data>,
        detail::field<property_id::content_type, &message_properties::content_type>,
        detail::field<property_id::subscription_identifier, &message_properties::subscription_identifiers>,
        detail::field<property_id::user_property, &message_properties::user_properties>>;
};

/// A message to publish, a received message or a will. Borrows everything it points to.
///
/// The payload is any sequence of bytes; `as_payload` converts other types than `char`.
struct message_view {
    std::string_view topic = {};
    std::string_view payload = {};
    tern::qos qos = tern::qos::at_most_once;
    bool retain = false; ///< publish: store it as the topic's retained message; received: it was retained
    message_properties properties = {};

    /// The payload as bytes.
    std::span<const std::byte> payload_bytes() const noexcept { return std::as_bytes(std::span(payload)); }

    friend constexpr bool operator==(const message_view&, const message_view&) = default;

    /// For `owned`: calls `f` on every member that borrows.
    template <class F>
    static void visit(message_view& view, F&& f) {
        f(view.topic);
        f(view.payload);
        if (!detail::is_unset(view.properties)) [[unlikely]]
            detail::visit_borrowed(view.properties, f, message_properties::fields{});
    }
};

/// Returns the bytes of a contiguous range of trivially copyable objects, such as a `std::vector<std::byte>`.
template <class Range>
std::string_view as_payload(const Range& range) noexcept {
    using item = typename decltype(std::span(range))::value_type;
    static_assert(std::is_trivially_copyable_v<item> && !std::is_pointer_v<item>, "The range has no plain bytes.");
    const auto bytes = std::as_bytes(std::span(range));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---- owning versions

namespace detail {

struct measure_borrowed {
    std::size_t size = 0;

    template <class T>
    void operator()(const T&) {}
    void operator()(const std::string_view& text) { size += text.size(); }
    void operator()(const std::optional<std::string_view>& text) {
        if (text) size += text->size();
    }
    template <class T, class Wire>
    void operator()(const sequence<T, Wire>& items) {
        for (const T& item : items)
            size += Wire::size(item);
    }
};

struct copy_borrowed {
    char* p;

    template <class T>
    void operator()(T&) {}
    void operator()(std::string_view& text) {
        const std::size_t size = text.size();
        if (size != 0) std::memcpy(p, text.data(), size); // without text, `p` may be null
        text = {p, size};
        p += size;
    }
    void operator()(std::optional<std::string_view>& text) {
        if (text) (*this)(*text);
    }
    template <class T, class Wire>
    void operator()(sequence<T, Wire>& items) {
        const char* const begin = p;
        for (const T& item : items)
            Wire::put(p, item);
        items = sequence<T, Wire>::from_wire({begin, static_cast<std::size_t>(p - begin)});
    }
};

// Precedes the bytes of a block: the function that frees it, and their number.
struct alignas(std::max_align_t) block_header {
    void (*free)(block_header*) noexcept;
    std::size_t size;

    char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
    static block_header* of(char* bytes) noexcept { return static_cast<block_header*>(static_cast<void*>(bytes)) - 1; }
};

struct free_block {
    void operator()(char* bytes) const noexcept {
        block_header* const header = block_header::of(bytes);
        header->free(header);
    }
};
using owned_block = std::unique_ptr<char[], free_block>;

inline owned_block allocate_block(std::size_t size) {
    constexpr auto free = [](block_header* p) noexcept { ::operator delete(p); };
    auto* const header = ::new (::operator new(sizeof(block_header) + size)) block_header{free, size};
    return owned_block(header->bytes());
}

} // namespace detail

/// A `View` that owns the memory that its members point to. The types derived from it, such as `message`, have the
/// members of the view.
///
/// It does not convert to the view, which would outlive a temporary object unnoticed. `view()` returns the view of an
/// object that has a name.
///
/// `View::visit(view, f)` calls `f` on each of the view's strings and lists, those of its property structs
/// included.
template <class View>
struct owned : protected View {
    owned() = default;
    explicit owned(const View& view) : View(view) { own(&detail::allocate_block); }
    /// Uses memory from `allocate(size)`, which returns a `detail::owned_block`.
    template <class Allocate>
    owned(const View& view, Allocate allocate) : View(view) {
        own(allocate);
    }
    owned(const owned& other) : owned(other.view()) {}
    owned(owned&& other) noexcept : View(other.view()), block_(std::move(other.block_)) {
        if (block_) other.content() = View{};
    }
    owned& operator=(const owned& other) { return *this = owned(other); }
    owned& operator=(owned&& other) noexcept {
        if (this == &other) return *this;
        content() = other.view();
        block_ = std::move(other.block_);
        if (block_) other.content() = View{};
        return *this;
    }
    ~owned() = default;

    /// Replaces the content with a copy of another view. The content is empty afterwards if the allocation
    /// fails.
    template <class Allocate>
    void assign(const View& from, Allocate allocate) {
        block_ = nullptr;
        content() = from;
        reset_on_failure guard{this};
        own(allocate);
        guard.view = nullptr;
    }

    /// The content as a view, which must not outlive this object.
    const View& view() const& noexcept { return *this; }
    const View& view() && = delete;
    const View& view() const&& = delete;

    /// The size of the owned memory in bytes.
    std::size_t owned_bytes() const noexcept { return block_ ? detail::block_header::of(block_.get())->size : 0; }

    friend bool operator==(const owned& a, const owned& b) { return a.view() == b.view(); }
    friend bool operator==(const owned& a, const View& b) { return a.view() == b; }

private:
    // Resets the view if the allocation throws, since it does not own what it points to.
    struct reset_on_failure {
        owned* view;
        ~reset_on_failure() {
            if (view) view->content() = View{};
        }
    };

    View& content() noexcept { return *this; }

    template <class Allocate>
    void own(Allocate allocate) {
        detail::measure_borrowed measured;
        View::visit(content(), measured);
        if (measured.size != 0) block_ = allocate(measured.size);
        View::visit(content(), detail::copy_borrowed{block_.get()});
    }

    detail::owned_block block_;
};

/// A message that owns the memory that its members point to.
struct message : owned<message_view> {
    using message_view::payload;
    using message_view::payload_bytes;
    using message_view::properties;
    using message_view::qos;
    using message_view::retain;
    using message_view::topic;
    using owned::owned;
};

} // namespace tern
