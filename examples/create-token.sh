#!/bin/sh
# Makes a token for a user and prints it: what a business server does (business_server.rs), with curl. A user that exists gets a new token, and the old one
# is dead at once: who is connected with it stays, but can't come back with it.
#
# It needs curl, a running server (cargo run --release), and the uid and token of an administrator, which the server printed when it was first started:
#
#   ADMIN_UID=admin ADMIN_TOKEN=… sh examples/create-token.sh alice
#
# API_URL is the token API, by default http://127.0.0.1:4000.
# Exit codes: 0 the token was printed, 1 the API refused, 2 wrong usage, 3 the API did not answer. Errors go to standard error.
set -eu

if [ $# -ne 1 ] || [ -z "${ADMIN_UID:-}" ] || [ -z "${ADMIN_TOKEN:-}" ]; then
  echo "usage: ADMIN_UID=… ADMIN_TOKEN=… sh $0 UID" >&2
  exit 2
fi

# ask ROUTE: the answer is JSON, with HTTP 200 whatever happened. The credentials go through standard input, as arguments can be seen by all users of
# the machine.
ask() {
  printf 'user = "%s:%s"\n' "$ADMIN_UID" "$ADMIN_TOKEN" |
    curl --silent --show-error --fail --noproxy '*' --max-time 10 --config - --data-urlencode "uid=$uid" "${API_URL:-http://127.0.0.1:4000}/user/$1"
}

# field NAME: a text of the answer. Quotes inside a JSON text have a backslash, so nobody's uid can look like a field.
field() { printf '%s\n' "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

uid=$1
answer=$(ask create_token) || exit 3
# The text and not the number, which depends on the server's AO_COMPAT.
case $(field msg) in
  'user exists'*) answer=$(ask refresh_token) || exit 3 ;;
esac

token=$(field token)
if [ -z "$token" ]; then
  echo "$0: no token for $uid: $(field msg)" >&2
  exit 1
fi
printf '%s\n' "$token"
