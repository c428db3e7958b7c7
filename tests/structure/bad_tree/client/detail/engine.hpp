#include "tern/client/basic_client.hpp"
#include "tern/client/detail/transport/driver.hpp"
#include "tern/session/session.hpp"
