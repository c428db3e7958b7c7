#include "tern/session/session.hpp"
#include "tern/session/snapshot.hpp"
