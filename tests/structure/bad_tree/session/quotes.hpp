#include "other.hpp"
