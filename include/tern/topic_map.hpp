// A map from topic filters to values that visits every value whose filter matches a topic name [§4.7].
//
// It is a trie by topic level. The edges are the entries of one hash table, keyed by the parent node and the
// level, so a step costs the same below a node with three children as below one with a million. The children
// '+' and '#' are also referenced by a pointer in their parent. The table owns the nodes, so no function
// recurses, however deep a topic is.
//
// A shared filter is stored at the node of its inner filter, by share name [§4.8.2].
//
// Names may come from untrusted sources: they are only looked up. Filters chosen to have equal hashes make
// lookups slow, so their number must be limited if they come from untrusted sources.
#pragma once

#include "tern/topic.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern {
namespace detail {

// One level of a topic, hashed once for all nodes in which it is looked up.
struct topic_level {
    const char* data;
    std::size_t size;
    std::size_t hash;

    std::string_view text() const noexcept { return {data, size}; }
};

// Iterates over the levels of a topic: `while (!levels.done()) use(levels.next());`. Every topic has at least
// one.
class topic_levels {
public:
    explicit topic_levels(std::string_view topic) noexcept : topic_(topic) {}

    bool done() const noexcept { return at_ > topic_.size(); }

    topic_level next() noexcept {
        const std::string_view rest = topic_.substr(at_);
        const std::string_view level = rest.substr(0, rest.find('/'));
        at_ += level.size() + 1;
        return {level.data(), level.size(), std::hash<std::string_view>{}(level)};
    }

private:
    std::string_view topic_;
    std::size_t at_ = 0;
};

// A stack that allocates only beyond 24 elements, more than the levels of a usual topic. An array for the
// 65,536 levels that a topic may have would be larger than the stacks of some threads.
template <class T>
class level_stack {
public:
    std::size_t size() const noexcept { return size_; }

    T& operator[](std::size_t i) noexcept { return i < inline_size ? first_[i] : more_[i - inline_size]; }

    void push(const T& value) {
        if (size_ >= inline_size)
            more_.push_back(value);
        else
            first_[size_] = value;
        ++size_;
    }

    T pop() noexcept {
        const T value = (*this)[--size_];
        if (size_ >= inline_size) more_.pop_back();
        return value;
    }

private:
    static constexpr std::size_t inline_size = 24;
    T first_[inline_size]; // not initialised: that would cost as much as a lookup
    std::vector<T> more_;
    std::size_t size_ = 0;
};

} // namespace detail

/// Maps topic filters to values and visits the values of all filters that match a topic name.
///
///     tern::topic_map<std::function<void(std::string_view)>> routes;
///     if (const auto route = routes.insert("home/+/temperature"); route)
///         **route = [](std::string_view payload) { ... };
///
///     routes.for_each_match("home/kitchen/temperature", [&](auto& route) { route(payload); });
///
/// The time of a lookup depends on the number of nodes that match the beginning of the name, not on the
/// number of filters. It allocates no memory for names and filters of up to 23 levels, and never stores a
/// name.
///
/// Pointers to values stay valid until the value is erased, also when the map is moved. Concurrent calls of
/// const functions are safe. The map cannot be copied. T may be move-only and needs no default constructor.
template <class T>
class topic_map {
public:
    topic_map() = default;
    topic_map(topic_map&& other) noexcept { swap(other); }
    topic_map& operator=(topic_map&& other) noexcept {
        topic_map(std::move(other)).swap(*this);
        return *this;
    }

    /// The number of filters.
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    /// Returns the value of a filter; constructs it from `arguments` if there is none. An existing value
    /// stays unchanged.
    ///
    /// Fails for an invalid filter with the error of `check_topic_filter`. `$share/{share name}/{filter}` is
    /// a key of its own for each share name. If the construction of the value throws, the map does not
    /// change.
    ///
    ///     tern::topic_map<int> map;
    ///     **map.insert("a/#", 1) = 2;
    ///     assert(map.insert("a/#/b").error() == tern::errc::invalid_topic_filter);
    template <class... Arguments>
    result<T*> insert(std::string_view filter, Arguments&&... arguments) {
        if (const errc error = check_topic_filter(filter); error != errc::none) return error;
        if (root_ == nullptr) root_ = std::make_unique<node>();
        path_guard path{*this, root_.get()};
        for (detail::topic_levels levels(without_share(filter)); !levels.done();) {
            const detail::topic_level level = levels.next();
            node* const child = find_child(*path.end, level);
            path.end = child != nullptr ? child : add_child(*path.end, level);
        }
        node& at = *path.end;
        if (is_shared(filter)) {
            if (at.shared == nullptr) at.shared = std::make_unique<shared_values>();
            const auto [value, is_new] =
                at.shared->try_emplace(std::string(share_name(filter)), std::forward<Arguments>(arguments)...);
            size_ += is_new ? 1 : 0;
            return &value->second;
        }
        if (!at.value) {
            at.value.emplace(std::forward<Arguments>(arguments)...);
            ++size_;
        }
        return &*at.value;
    }

    /// The value of exactly this filter, or null. Wildcards are not matched.
    T* find(std::string_view filter) noexcept { return value_at(find_node(filter), filter); }
    const T* find(std::string_view filter) const noexcept { return value_at(find_node(filter), filter); }

    /// Removes a filter with its value and frees their memory. Returns false if there is no such filter.
    ///
    /// The table keeps its largest size, some 30 bytes per node, until the map is empty.
    bool erase(std::string_view filter) noexcept {
        node* const at = find_node(filter);
        if (value_at(at, filter) == nullptr) return false;
        if (!is_shared(filter)) {
            at->value.reset();
        } else {
            at->shared->erase(at->shared->find(share_name(filter)));
            if (at->shared->empty()) at->shared.reset();
        }
        if (--size_ == 0)
            clear();
        else
            prune(at);
        return true;
    }

    void clear() noexcept { topic_map().swap(*this); }

    void swap(topic_map& other) noexcept {
        std::swap(root_, other.root_);
        std::swap(slots_, other.slots_);
        std::swap(nodes_, other.nodes_);
        std::swap(size_, other.size_);
    }

    /// Calls `visit(value)` for each filter that matches `name` by `tern::matches`, in an unspecified order.
    ///
    /// The name must be valid. The visitor may change values and look up others, but must not insert or
    /// erase.
    template <class Visitor>
    void for_each_match(std::string_view name, Visitor&& visit) {
        walk(name, visit);
    }
    template <class Visitor>
    void for_each_match(std::string_view name, Visitor&& visit) const {
        auto visit_const = [&](const T& value) { visit(value); };
        walk(name, visit_const);
    }

private:
    using shared_values = std::map<std::string, T, std::less<>>;

    struct node {
        node* parent = nullptr;
        node* single_level = nullptr; // the child '+'
        node* multi_level = nullptr;  // the child '#'
        std::uint32_t children = 0;
        std::size_t key = 0; // the hash of all levels from the root
        std::string level;
        std::optional<T> value;
        std::unique_ptr<shared_values> shared;

        bool has_value() const noexcept { return value || (shared != nullptr && !shared->empty()); }

        template <class Visitor>
        void visit(Visitor& visitor) {
            if (value) visitor(*value);
            if (shared != nullptr)
                for (auto& [share_name, of_share] : *shared)
                    visitor(of_share);
        }
    };

    // Open addressing with linear probing. The slot holds a copy of the key, so that a failing probe rarely
    // reads a node.
    struct slot {
        std::size_t key = 0;
        std::unique_ptr<node> child;
    };

    // Removes the nodes that lead to no value when insert() returns or throws.
    struct path_guard {
        topic_map& map;
        node* end;
        ~path_guard() { map.prune(end); }
    };

    // Visits depth first. Of the children that fit the name, one is visited next; the other waits on the
    // stack, at most one for each level of the name.
    template <class Visitor>
    void walk(std::string_view name, Visitor& visit) const {
        if (empty() || name.empty()) return;
        struct step {
            node* at;
            std::size_t depth; // the number of levels of the name from the root
        };
        detail::level_stack<step> steps;
        detail::level_stack<detail::topic_level> known;
        detail::topic_levels unknown(name);
        steps.push({root_.get(), 0});
        while (steps.size() != 0) {
            const auto [at, depth] = steps.pop();
            const bool wildcards = depth != 0 || name.front() != '$'; // [MQTT-4.7.2-1]
            if (at->multi_level != nullptr && wildcards)
                at->multi_level->visit(visit); // any number of further levels, none included
            if (depth == known.size() && unknown.done()) {
                at->visit(visit);
                continue;
            }
            if (at->children == 0) continue;
            if (depth == known.size()) known.push(unknown.next());
            if (at->single_level != nullptr && wildcards) steps.push({at->single_level, depth + 1});
            node* const child = find_child(*at, known[depth]);
            if (child != nullptr && child != at->single_level && child != at->multi_level)
                steps.push({child, depth + 1});
        }
    }

    node* find_node(std::string_view filter) const noexcept {
        node* at = root_.get();
        for (detail::topic_levels levels(without_share(filter)); at != nullptr && !levels.done();)
            at = find_child(*at, levels.next());
        return at;
    }

    static T* value_at(node* at, std::string_view filter) noexcept {
        if (at == nullptr) return nullptr;
        if (!is_shared(filter)) return at->value ? &*at->value : nullptr;
        if (at->shared == nullptr) return nullptr;
        const auto value = at->shared->find(share_name(filter));
        return value != at->shared->end() ? &value->second : nullptr;
    }

    // The upper bits of the product depend on all bits of both factors; XOR moves them to where they choose
    // the slot.
    static std::size_t child_key(const node& parent, std::size_t level_hash) noexcept {
        const std::uint64_t product = (std::uint64_t{parent.key} ^ level_hash) * 0x9E37'79B9'7F4A'7C15U;
        return (product ^ product >> 32) & SIZE_MAX;
    }

    std::size_t mask() const noexcept { return slots_.size() - 1; } // the size is a power of two

    // At least a quarter of the slots is free, so the search ends.
    node* find_child(const node& parent, const detail::topic_level& level) const noexcept {
        if (parent.children == 0) return nullptr;
        const std::size_t key = child_key(parent, level.hash);
        for (std::size_t i = key & mask(); slots_[i].child != nullptr; i = (i + 1) & mask()) {
            node* const child = slots_[i].child.get();
            if (slots_[i].key == key && child->parent == &parent && child->level == level.text()) return child;
        }
        return nullptr;
    }

    node* add_child(node& parent, const detail::topic_level& level) {
        auto child = std::make_unique<node>();
        child->parent = &parent;
        child->level = level.text();
        child->key = child_key(parent, level.hash);
        if ((nodes_ + 1) * 4 > slots_.size() * 3) grow();
        node* const added = child.get();
        if (node** const wildcard = wildcard_link(*added)) *wildcard = added;
        ++parent.children;
        ++nodes_;
        insert_slot({child->key, std::move(child)});
        return added;
    }

    // The parent's pointer to this node, for '+' and '#' only.
    static node** wildcard_link(const node& child) noexcept {
        if (child.level == "+") return &child.parent->single_level;
        return child.level == "#" ? &child.parent->multi_level : nullptr;
    }

    // Removes a node that leads to no value, and those of its ancestors that then lead to none.
    void prune(node* at) noexcept {
        while (at != root_.get() && at->children == 0 && !at->has_value()) {
            node* const parent = at->parent;
            if (node** const wildcard = wildcard_link(*at)) *wildcard = nullptr;
            --parent->children;
            --nodes_;
            remove(at);
            at = parent;
        }
    }

    void insert_slot(slot&& added) noexcept {
        std::size_t i = added.key & mask();
        while (slots_[i].child != nullptr)
            i = (i + 1) & mask();
        slots_[i] = std::move(added);
    }

    void grow() {
        std::vector<slot> old(slots_.empty() ? 16 : slots_.size() * 2);
        old.swap(slots_);
        for (slot& moved : old)
            if (moved.child != nullptr) insert_slot(std::move(moved));
    }

    void remove(const node* removed) noexcept {
        std::size_t hole = removed->key & mask();
        while (slots_[hole].child.get() != removed)
            hole = (hole + 1) & mask();
        slots_[hole] = slot{};
        // Moves back the entries after the hole that a search would miss, because it ends at the first free
        // slot.
        for (std::size_t i = (hole + 1) & mask(); slots_[i].child != nullptr; i = (i + 1) & mask()) {
            const std::size_t from_first_choice = (i - slots_[i].key) & mask();
            const std::size_t from_hole = (i - hole) & mask();
            if (from_first_choice < from_hole) continue;
            slots_[hole] = std::move(slots_[i]);
            hole = i;
        }
    }

    std::unique_ptr<node> root_;
    std::vector<slot> slots_; // empty, or a power of two of them
    std::size_t nodes_ = 0;   // without the root
    std::size_t size_ = 0;
};

} // namespace tern
