#include "tern/session/session.hpp"
