// topic_map compared with `matches` on every filter, and its guarantees about memory, pointers and
// exceptions.
#include "tern/topic_map.hpp"

#include "catch.hpp"
#include "strings.hpp"
#include "support/heap.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using tern::errc;
using tern::topic_map;
using namespace topic_tests;

// The same filters and values in the map under test and in a std::map.
class compared_maps {
public:
    topic_map<int> map;
    std::map<std::string, int> reference;

    void insert(const std::string& filter, int value) {
        const bool is_new = reference.try_emplace(filter, value).second;
        const auto inserted = map.insert(filter, value);
        REQUIRE(inserted);
        REQUIRE(**inserted == reference[filter]);
        REQUIRE(is_new == (map.size() == ++size_));
        size_ = reference.size();
    }

    void erase(std::string filter) { // by value: it may refer to the erased key
        REQUIRE(map.erase(filter) == (reference.erase(filter) == 1));
        size_ = reference.size();
        REQUIRE(map.size() == size_);
    }

    // Whether both maps find the same values for a name, each once.
    bool is_equal_for(const std::string& name) const {
        std::vector<int> expected;
        for (const auto& [filter, value] : reference)
            if (tern::matches(filter, name)) expected.push_back(value);
        std::vector<int> found;
        map.for_each_match(name, [&](const int& value) { found.push_back(value); });
        std::sort(expected.begin(), expected.end());
        std::sort(found.begin(), found.end());
        return found == expected;
    }

    void check_all(const std::vector<std::string>& names) const {
        std::size_t wrong = 0;
        for (const std::string& name : names)
            if (!is_equal_for(name) && ++wrong < 10) FAIL_CHECK("\"" << name << "\" finds other values");
        REQUIRE(wrong == 0);
        for (const auto& [filter, value] : reference) {
            const int* const found = map.find(filter);
            if (found == nullptr || *found != value) FAIL_CHECK("\"" << filter << "\" is missing");
        }
    }

private:
    std::size_t size_ = 0;
};

std::size_t count_matches(const topic_map<int>& map, std::string_view name) {
    std::size_t count = 0;
    map.for_each_match(name, [&](const int&) { ++count; });
    return count;
}

// Pseudo-random topics. Some of their levels repeat often, some are long, some are empty.
class topic_source {
public:
    explicit topic_source(unsigned seed) : random_(seed) {}

    std::size_t below(std::size_t n) { return random_() % n; }

    std::string name() { return topic(8); }

    std::string filter() {
        std::string text = below(8) == 0 ? "$share/" + std::string(1, "ghi"[below(3)]) + "/" : "";
        text += topic(10);
        return below(4) == 0 ? text + "/#" : below(60) == 0 ? std::string("#") : text;
    }

private:
    std::string topic(std::size_t kinds) {
        static const std::string levels[] = {"a", "b",      "c", "", "$SYS", "a-level-longer-than-sixteen-characters",
                                             "d", "$share", "+", "+"};
        std::string text;
        const std::size_t depth = 1 + below(5);
        for (std::size_t i = 0; i != depth; ++i) {
            if (i != 0) text += '/';
            text += levels[below(kinds)];
        }
        // A name is not empty. A filter whose first level is $share would need more levels to be valid.
        return text.empty() || text.starts_with("$share") ? "a" : text;
    }

    std::mt19937 random_;
};

} // namespace

TEST_CASE("a map with all short filters finds the same values as matches() for all short names", "[topic_map]") {
    compared_maps maps;
    std::vector<std::string> filters;
    for (const std::string& text : all_strings("a/+#$", 5)) {
        if (tern::check_topic_filter(text) != errc::none) continue;
        filters.push_back(text);
        filters.push_back("$share/a/" + text);
        filters.push_back("$share/b/" + text);
    }
    REQUIRE(filters.size() > 1'000);
    std::vector<std::string> names = all_strings("a/$", 5);
    names.insert(names.end(), {"$share/a/a", "$share/a", "a/a/a/a/a/a/a"});
    // Invalid names: no value is visited twice for these either.
    names.insert(names.end(), {"+", "#", "a/+", "a/#", "+/+"});

    int value = 0;
    for (const std::string& filter : filters)
        maps.insert(filter, ++value);
    maps.check_all(names);
    for (std::size_t i = 0; i < filters.size(); i += 2)
        maps.erase(filters[i]);
    maps.check_all(names);
    for (std::size_t i = 0; i < filters.size(); i += 2) {
        maps.erase(filters[i]); // no longer present
        maps.insert(filters[i], ++value);
    }
    maps.check_all(names);
    for (const std::string& filter : filters)
        maps.erase(filter);
    maps.check_all(names);
    CHECK(maps.map.empty());
}

TEST_CASE("lookups find the same values as matches() while random filters are inserted and erased", "[topic_map]") {
    for (const unsigned seed : {1U, 2U, 3U}) {
        topic_source topics(seed);
        compared_maps maps;
        int value = 0;
        std::size_t wrong = 0;
        std::size_t matched = 0;
        for (int i = 0; i != 6'000; ++i) {
            // The map grows and shrinks in turn.
            const bool growing = (i / 1'000) % 2 == 0;
            const std::string filter = topics.filter();
            if (topics.below(4) != 0 ? growing : !growing)
                maps.insert(filter, ++value);
            else if (!maps.reference.empty() && topics.below(2) == 0)
                maps.erase(
                    std::next(maps.reference.begin(), static_cast<std::ptrdiff_t>(topics.below(maps.reference.size())))
                        ->first);
            else
                maps.erase(filter);
            const std::string name = topics.name();
            wrong += !maps.is_equal_for(name);
            matched += count_matches(maps.map, name);
        }
        CHECK(wrong == 0);
        CHECK(matched > 10'000);
    }
}

TEST_CASE("each share name is a separate key beside the plain filter [v5:MQTT-4.8.2-1]", "[topic_map]") {
    topic_map<int> map;
    REQUIRE(map.insert("a/+", 1));
    REQUIRE(map.insert("$share/g/a/+", 2));
    REQUIRE(map.insert("$share/h/a/+", 4));
    CHECK(map.size() == 3);
    CHECK(count_matches(map, "a/b") == 3);
    CHECK(*map.find("a/+") == 1);
    CHECK(*map.find("$share/g/a/+") == 2);
    CHECK(*map.find("$share/h/a/+") == 4);
    CHECK(map.find("$share/i/a/+") == nullptr);
    CHECK(map.find("$share/g/a") == nullptr);
    CHECK(map.erase("$share/g/a/+"));
    CHECK_FALSE(map.erase("$share/g/a/+"));
    CHECK(*map.find("a/+") == 1);
    CHECK(map.erase("a/+"));
    CHECK(*map.find("$share/h/a/+") == 4);
    CHECK(count_matches(map, "a/b") == 1);
}

TEST_CASE("a leading wildcard does not match names that begin with $ [v311:MQTT-4.7.2-1, v5:MQTT-4.7.2-1]",
          "[topic_map]") {
    topic_map<int> map;
    for (const char* filter : {"#", "+/a", "+/#", "$share/g/#", "$share/g/+/a"})
        REQUIRE(map.insert(filter, 0));
    CHECK(count_matches(map, "x/a") == 5);
    CHECK(count_matches(map, "$SYS/a") == 0);
    REQUIRE(map.insert("$SYS/#", 0));
    REQUIRE(map.insert("$share/g/$SYS/+", 0));
    CHECK(count_matches(map, "$SYS/a") == 2);
}

TEST_CASE("insert returns the error of an invalid filter and changes nothing", "[topic_map]") {
    topic_map<int> map;
    CHECK(map.insert("", 1).error() == errc::empty_topic);
    CHECK(map.insert("a/#/b", 1).error() == errc::invalid_topic_filter);
    CHECK(map.insert("a+", 1).error() == errc::invalid_topic_filter);
    CHECK(map.insert("$share/g", 1).error() == errc::invalid_topic_filter);
    CHECK(map.insert("a\xFF", 1).error() == errc::malformed_utf8);
    CHECK(map.insert(std::string(65'536, 'a'), 1).error() == errc::string_too_long);
    CHECK(map.empty());
}

TEST_CASE("find and erase accept any text and find nothing for an invalid filter", "[topic_map]") {
    topic_map<int> map;
    for (const char* const text : {"", "#", "$share/", "$share/g", "$share/g/"})
        CHECK((map.find(text) == nullptr && !map.erase(text)));
    for (const char* const filter : {"/a", "a/#", "a/b", "$share/g/a/b"})
        REQUIRE(map.insert(filter, 1));
    for (const char* const text : {"", "/", "a", "a/#/b", "a/+", "a/b/", "$share", "$share/", "$share/g", "$share/g/",
                                   "$share//a/b", "$share/g/a"})
        CHECK((map.find(text) == nullptr && !map.erase(text)));
    CHECK(count_matches(map, "") == 0);
    CHECK(map.size() == 4);
}

TEST_CASE("insert does not change an existing value", "[topic_map]") {
    topic_map<std::string> map;
    std::string* const first = *map.insert("a", "first");
    CHECK(*map.insert("a", "second") == first);
    CHECK(*first == "first");
    CHECK(**map.insert("$share/g/a", "first") == "first");
    CHECK(**map.insert("$share/g/a", "second") == "first");
    CHECK(map.size() == 2);
}

TEST_CASE("pointers stay valid while the map grows, shrinks and moves", "[topic_map]") {
    topic_map<int> map;
    int* const plain = *map.insert("site/0/+", 7);
    int* const shared = *map.insert("$share/g/site/0/+", 8);
    for (int i = 1; i != 1'000; ++i)
        REQUIRE(map.insert("site/" + std::to_string(i) + "/+", i));
    for (int i = 1; i != 1'000; ++i)
        REQUIRE(map.erase("site/" + std::to_string(i) + "/+"));
    topic_map<int> moved = std::move(map);
    CHECK(moved.size() == 2);
    CHECK(moved.find("site/0/+") == plain);
    CHECK(moved.find("$share/g/site/0/+") == shared);
    CHECK(count_matches(moved, "site/0/a") == 2);

    CHECK(map.empty()); // NOLINT(bugprone-use-after-move): a moved-from map is empty
    CHECK(count_matches(map, "site/0/a") == 0);
    REQUIRE(map.insert("a", 1));
    map = std::move(moved);
    CHECK(map.find("a") == nullptr);
    CHECK(map.find("site/0/+") == plain);
    map.clear();
    CHECK(map.empty());
    CHECK(map.find("site/0/+") == nullptr);
}

TEST_CASE("values may be move-only and need no default constructor", "[topic_map]") {
    struct route {
        explicit route(int n) : number(std::make_unique<int>(n)) {}
        std::unique_ptr<int> number;
    };
    topic_map<route> map;
    REQUIRE(map.insert("a/#", route(1)));
    REQUIRE(map.insert("$share/g/a/#", 2)); // constructed in place
    map.for_each_match("a/b", [](route& visited) { *visited.number += 10; });
    CHECK(*map.find("a/#")->number == 11);
    CHECK(*map.find("$share/g/a/#")->number == 12);
}

TEST_CASE("a visitor may look up values in the visited map, and may throw", "[topic_map]") {
    topic_map<int> map;
    REQUIRE(map.insert("#", 1));
    REQUIRE(map.insert("a/+", 2));
    std::size_t inner = 0;
    map.for_each_match("a/b", [&](int&) { inner += count_matches(map, "a/b"); });
    CHECK(inner == 4);
    CHECK_THROWS_AS(map.for_each_match("a/b", [](int&) { throw 1; }), int);
    CHECK(count_matches(map, "a/b") == 2);
}

// ---- memory ----

TEST_CASE("a lookup allocates nothing", "[topic_map]") {
    topic_map<int> map;
    std::string deepest = "level";
    std::string wild = "+";
    for (int i = 1; i != 23; ++i) {
        REQUIRE(map.insert(deepest + "/#", i));
        REQUIRE(map.insert(wild, i));
        deepest += "/level";
        wild += "/+";
    }
    REQUIRE(map.insert(deepest, 0));
    REQUIRE(map.insert(wild, 0));
    REQUIRE(map.insert("$share/a-long-share-name-that-fits-no-small-string/" + deepest, 0));
    const std::string longer = deepest + "/and/more/levels/than/any/filter/has";

    const std::size_t before = heap::allocations();
    const std::size_t matched = count_matches(map, deepest) + count_matches(map, longer);
    const int* const found = map.find("$share/a-long-share-name-that-fits-no-small-string/level/level");
    const std::size_t after = heap::allocations();
    CHECK(after == before);
    CHECK(matched == (22 + 3) + 22);
    CHECK(found == nullptr);
}

TEST_CASE("erase frees the memory of a filter", "[topic_map]") {
    const std::vector<std::string> filters = {"a/b/c/a-level-longer-than-sixteen-characters",
                                              "a/+/c",
                                              "a/#",
                                              "$share/g/a/#",
                                              "$share/h/x/y",
                                              "$share/g/a/b",
                                              "/",
                                              "+",
                                              "a/b"};
    topic_map<std::string> map;
    REQUIRE(map.insert("a/b/x", "stays"));
    for (int i = 0; i != 50; ++i) // so that the table has reached its size
        REQUIRE(map.insert(std::to_string(i), ""));
    for (int i = 0; i != 50; ++i)
        REQUIRE(map.erase(std::to_string(i)));
    const std::size_t before = heap::live_blocks();
    for (const std::string& filter : filters) {
        const bool inserted = map.insert(filter, "a value longer than sixteen characters").has_value();
        REQUIRE(inserted);
    }
    const std::size_t with_filters = heap::live_blocks();
    for (const std::string& filter : filters)
        map.erase(filter);
    const std::size_t after = heap::live_blocks();
    CHECK(with_filters > before + filters.size());
    CHECK(after == before);
    CHECK(map.size() == 1);
}

TEST_CASE("an empty map owns no memory", "[topic_map]") {
    const std::size_t before = heap::live_blocks();
    topic_map<int> map;
    for (const char* const filter : {"a/b", "$share/g/a/b", "#"})
        if (!map.insert(filter, 1)) std::abort();
    for (const char* const filter : {"a/b", "$share/g/a/b", "#"})
        map.erase(filter);
    const std::size_t after = heap::live_blocks();
    CHECK(after == before);
}

TEST_CASE("an insert changes nothing if any of its allocations fails", "[topic_map]") {
    for (const std::string new_filter :
         {"a/x/+/y/#", "$share/a-long-share-name-that-fits-no-small-string/a/x/b", "a", "$share/g/a/b"}) {
        std::size_t failures = 0;
        for (bool done = false; !done; ++failures) {
            topic_map<std::string> map;
            for (int i = 0; i != 10; ++i) // the table is nearly full, so the insert must enlarge it
                REQUIRE(map.insert(std::to_string(i), ""));
            REQUIRE(map.insert("a/b", "there"));
            const std::size_t blocks = heap::live_blocks();

            const std::string_view value = "a value longer than sixteen characters";
            bool threw = false;
            heap::fail(failures + 1, 1);
            try {
                done = map.insert(new_filter, value).has_value();
            } catch (const std::bad_alloc&) {
                threw = true;
            }
            heap::stop_failing();

            const std::size_t blocks_now = heap::live_blocks();
            CHECK(threw != done);
            CHECK(map.size() == (done ? 12U : 11U));
            CHECK((map.find(new_filter) != nullptr) == done);
            if (threw) CHECK(blocks_now <= blocks + 1); // an empty map of shared values may stay in its node
            REQUIRE(map.insert(new_filter, value));
            REQUIRE(map.erase(new_filter));
            CHECK(*map.find("a/b") == "there");
        }
        CHECK(failures >= 2);
    }
}

TEST_CASE("an insert changes nothing if the constructor of the value throws", "[topic_map]") {
    struct throwing {
        explicit throwing(bool fails) {
            if (fails) throw 1;
        }
    };
    topic_map<throwing> map;
    for (const char* const filter : {"a/b/c", "$share/g/a/b/c"}) {
        CHECK_THROWS_AS(map.insert(filter, true), int);
        CHECK(map.empty());
        CHECK(map.find(filter) == nullptr);
        REQUIRE(map.insert(filter, false));
        CHECK(map.erase(filter));
    }
}

// ---- hostile topics ----

TEST_CASE("filters and names of 65,536 levels need linear time and no recursion [v311:MQTT-4.7.3-3, "
          "v5:MQTT-4.7.3-3]",
          "[topic_map]") {
    std::string wild = "+";
    while (wild.size() < 65'535)
        wild += "/+";
    const std::string slashes(65'535, '/');
    std::string half(slashes.substr(0, 32'767));
    topic_map<int> map;
    REQUIRE(map.insert(slashes, 1));
    REQUIRE(map.insert(wild, 2));
    REQUIRE(map.insert(slashes.substr(1) + "#", 3));
    REQUIRE(map.insert("$share/g/" + half, 4));
    CHECK(count_matches(map, slashes) == 2);
    CHECK(count_matches(map, half) == 2); // the filter of '+' has as many levels
    CHECK(count_matches(map, slashes.substr(1)) == 1);
    // Quadratic work would take minutes.
    std::size_t matched = 0;
    for (int i = 0; i != 20; ++i)
        matched += count_matches(map, slashes);
    CHECK(matched == 40);
    CHECK(map.erase(slashes));
    CHECK(map.erase(wild));
    CHECK(count_matches(map, slashes) == 1);
}

TEST_CASE("a lookup hashes a long level once, not once per node", "[topic_map]") {
    // All 4,096 combinations of 12 levels "a" or "+" match, and so do the 8,190 inner nodes.
    topic_map<int> map;
    for (unsigned bits = 0; bits != 1U << 12; ++bits) {
        std::string filter;
        for (unsigned i = 0; i != 12; ++i)
            filter += (bits >> i & 1) != 0 ? "+/" : "a/";
        REQUIRE(map.insert(filter + "z", 0));
        REQUIRE(map.insert(filter + "+", 0));
    }
    std::string name;
    for (int i = 0; i != 12; ++i)
        name += "a/";
    CHECK(count_matches(map, name + "z") == 8'192);
    CHECK(count_matches(map, name + "y") == 4'096);
    // 4,096 nodes look up a level of 65,000 bytes, 50 times: hashing it each time would read 13 GB.
    std::size_t matched = 0;
    for (int i = 0; i != 50; ++i)
        matched += count_matches(map, name + std::string(65'000, 'x'));
    CHECK(matched == 50 * 4'096);
}
