// Instantiates every member of topic_map without exceptions and run-time type information.
#include "tern/topic.hpp"
#include "tern/topic_map.hpp"

#include <memory>

template class tern::topic_map<std::unique_ptr<int>>;

int use(tern::topic_map<int>& map);
int use(tern::topic_map<int>& map) {
    int sum = 0;
    if (map.insert("a/+", 1)) map.for_each_match("a/b", [&](int& value) { sum += value; });
    const auto& constant = map;
    constant.for_each_match("a/b", [&](const int& value) { sum += value; });
    return sum + static_cast<int>(map.erase("a/+"));
}
