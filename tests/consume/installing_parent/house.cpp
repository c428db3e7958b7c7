#include "house.hpp"

#include "tern/client/basic_client.hpp"

bool is_at_home(const tern::client& client) {
    return client.is_connected();
}
