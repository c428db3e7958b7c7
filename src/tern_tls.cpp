// The compiled form of the schemes with TLS: tern::compiled_tls is made of this file.
#include "tern/src_tls.hpp"
