#!/bin/sh
# Makes an authority, and certificates of a server and a client, for tests and demos. Keys are not encrypted.
#
# usage: certificates.sh <directory> [host name or IP address]...
#
# The server's certificate is for localhost, 127.0.0.1, ::1 and the given names. An authority that exists is used again,
# so that clients which trust it need not change.
set -eu
[ $# != 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
mkdir -p "$1"
cd "$1"
shift

names="DNS:localhost,IP:127.0.0.1,IP:::1"
for name; do
    case $name in
        *:*) kind=IP ;;      # IPv6
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
    esac
    names="$names,$kind:$name"
done

log=$(mktemp)
trap 'rm -f "$log" request.pem extensions.cnf' EXIT
run() { openssl "$@" >"$log" 2>&1 || { cat "$log" >&2 && exit 1; }; }

umask 077 # for the keys
new_key() { run ecparam -name prime256v1 -genkey -noout -out "$1"; }

# issue <name> <subject> <extensions>: a certificate that the authority signs.
issue() {
    new_key "$1.key"
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n%b\n' "$3" >extensions.cnf
    run req -new -key "$1.key" -subj "/CN=$2" -out request.pem
    run x509 -req -in request.pem -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" -days 365 -sha256 \
        -extfile extensions.cnf -out "$1.pem"
    chmod 644 "$1.pem"
}

if [ ! -e ca.pem ] || [ ! -e ca.key ]; then
    new_key ca.key
    cat >extensions.cnf <<'END'
[req]
distinguished_name=name
x509_extensions=authority
[name]
[authority]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
END
    run req -x509 -new -key ca.key -subj "/CN=Tern test authority" -days 3650 -sha256 -config extensions.cnf -out ca.pem
    chmod 644 ca.pem
fi
issue server localhost "extendedKeyUsage=serverAuth\nsubjectAltName=$names"
issue client tern-client "extendedKeyUsage=clientAuth"

cat <<END
$PWD:
  ca.pem, ca.key          the authority
  server.pem, server.key  for ${names#DNS:}
  client.pem, client.key  of a client

A listener of Mosquitto with them:
  listener 8883 127.0.0.1
  allow_anonymous true
  cafile $PWD/ca.pem
  certfile $PWD/server.pem
  keyfile $PWD/server.key
  require_certificate false
END
