#!/bin/sh
# Writes the Secrets `ads-proxy` and `valkey` of this overlay to the output: an authority, a certificate, a user with a
# password, the keys of state and console, and your application's two secrets. Needs openssl and kubectl, and no cluster.
#
#   sh secrets.sh CLIENT_SECRET_FILE REFRESH_TOKEN_FILE [NAMESPACE] | kubectl apply -f -
#
# Run it once: with another state key, replicas cannot read what the store has.
set -eu
umask 077
[ $# -ge 2 ] || { echo "usage: sh secrets.sh CLIENT_SECRET_FILE REFRESH_TOKEN_FILE [NAMESPACE]" >&2; exit 2; }
client_secret=$1 refresh_token=$2 namespace=${3:-ads-proxy}
host=valkey.$namespace.svc
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# Python 3.13 asks of certificates what RFC 5280 does: what each may be used for, and whose key signed it.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=ads-proxy valkey authority" \
  -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout "$made/ca.key" -out "$made/ca.crt" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$host" \
  -keyout "$made/tls.key" -out "$made/tls.csr" 2>/dev/null
cat >"$made/names" <<NAMES
subjectAltName=DNS:valkey,DNS:valkey.$namespace,DNS:$host,DNS:$host.cluster.local,DNS:localhost
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
NAMES
openssl x509 -req -in "$made/tls.csr" -CA "$made/ca.crt" -CAkey "$made/ca.key" -CAcreateserial -days 3650 \
  -extfile "$made/names" -out "$made/tls.crt" 2>/dev/null

password=$(openssl rand -hex 32)
hash=$(printf %s "$password" | openssl dgst -sha256 -r | cut -d ' ' -f 1)
cat >"$made/users.acl" <<ACL
user default off
user ads-proxy on #$hash resetchannels ~{ads-proxy}:* -@all +eval +hmget +hget +hset +get +set +scan +pexpire +time +xadd +xread +xrevrange +xrange +zadd +zcard +zremrangebyscore +select +ping +client|setinfo
ACL
printf %s "rediss://ads-proxy:$password@$host:6379/0?ssl_ca_certs=/run/secrets/valkey/ca.crt" >"$made/state-url"
openssl rand -hex 32 | tr -d '\n' >"$made/state-key"
openssl rand -hex 24 | tr -d '\n' >"$made/admin-key"

kubectl create secret generic valkey --namespace "$namespace" --dry-run=client -o yaml \
  --from-file="$made/ca.crt" --from-file="$made/tls.crt" --from-file="$made/tls.key" --from-file="$made/users.acl"
echo ---
kubectl create secret generic ads-proxy --namespace "$namespace" --dry-run=client -o yaml \
  --from-file=client-secret="$client_secret" --from-file=refresh-token="$refresh_token" \
  --from-file="$made/state-url" --from-file="$made/state-key" --from-file="$made/admin-key"
