# tern_packages(<variable> <library>): a sentence that says how to install a library. This file is also installed beside
# ternConfig.cmake.
function(tern_packages variable library)
    # apt-get, dnf, brew and vcpkg
    set(Asio libasio-dev asio-devel asio asio)
    set(fmt libfmt-dev fmt-devel fmt fmt)
    set(OpenSSL libssl-dev openssl-devel openssl openssl)
    set(Catch2 catch2 catch-devel catch2 catch2)
    set(CLI11 libcli11-dev cli11-devel cli11 cli11)
    list(POP_FRONT ${library} apt dnf brew vcpkg)
    set(commands "apt-get install ${apt}, dnf install ${dnf}, brew install ${brew}, vcpkg install ${vcpkg}")
    set(${variable} "Install it with one of: ${commands}." PARENT_SCOPE)
endfunction()
