#!/bin/sh
# Makes the certificates that tests/hostile/tls.rs uses. The keys of the authorities are not kept.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

# authority NAME
authority() {
    mkdir "$work/$1" && : > "$work/$1/index" && echo 01 > "$work/$1/serial"
    cat > "$work/$1/config" <<CONFIG
[ca]
default_ca = here
[here]
database = $work/$1/index
serial = $work/$1/serial
new_certs_dir = $work/$1
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
[leaf]
basicConstraints = CA:FALSE
subjectAltName = IP:127.0.0.1,DNS:localhost
CONFIG
    openssl req -new $key -subj "/CN=$1" -keyout "$work/$1/key.pem" -out "$work/$1/csr"
    openssl ca -batch -notext -config "$work/$1/config" -selfsign -extensions authority \
        -keyfile "$work/$1/key.pem" -in "$work/$1/csr" -out "$1.pem" \
        -startdate 20200101000000Z -enddate 21200101000000Z
}

# certificate NAME AUTHORITY END
certificate() {
    openssl req -new $key -subj "/CN=$1" -keyout "$1-key.pem" -out "$work/$1.csr"
    openssl ca -batch -notext -config "$work/$2/config" -extensions leaf -cert "$2.pem" \
        -keyfile "$work/$2/key.pem" -in "$work/$1.csr" -out "$1.pem" \
        -startdate 20200101000000Z -enddate "$3"
}

authority members
authority clients
authority strangers
certificate node members 21200101000000Z
certificate renewed members 21200101000000Z
certificate expired members 20200201000000Z
certificate client clients 21200101000000Z
certificate stranger strangers 21200101000000Z
