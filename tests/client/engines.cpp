// The engines of the clients that several files make, compiled once.
#include "client_test.hpp"
#include "network_test.hpp"

template class tern::detail::engine<probe>;
template class tern::detail::engine<tern::testing::link>;
template class tern::detail::engine<tern::tcp>;
