#!/usr/bin/env bash
# A private TimescaleDB server (Apache edition) beside the host's own packages, for tests.
#
# Unpacks Debian's packages into a folder of their own, from the mirror this host uses already, and
# runs the server in it by chroot as a user without rights. Needs root on Debian. Safe to repeat.
#
# usage: timescaledb-root.sh unpack|start|stop|remove
# env:   TSDB_SUITE=trixie TSDB_PG=17 TSDB_ROOT=~/.cache/mainstem/timescaledb-$TSDB_SUITE
#        TSDB_PORT=54329   TSDB_NAME=data (one server each)
# exit:  0 done, 1 failed, 3 this host cannot
set -euo pipefail

suite=${TSDB_SUITE:-trixie}
pg=${TSDB_PG:-17}
root=${TSDB_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/mainstem/timescaledb-$suite}
port=${TSDB_PORT:-54329}
data=/var/lib/postgresql/${TSDB_NAME:-data}
bin=/usr/lib/postgresql/$pg/bin
user=999
sources=/etc/apt/sources.list.d/debian.sources
key=/usr/share/keyrings/debian-archive-keyring.gpg

cannot() {
  echo "$1" >&2
  exit 3
}

in_root() {
  chroot --userspec=$user:$user "$root" \
    /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp LC_ALL=C.UTF-8 "$@"
}

download() { # into $1
  local mirror
  mirror=$(sed -n 's/^URIs: *//p' "$sources" | head -1)
  mkdir -p "$1"/lists/partial "$1"/cache/archives/partial
  : >"$1/status"
  echo "deb [signed-by=$key] $mirror $suite main" >"$1/list"
  local apt=(
    apt-get -qq
    -o Dir::Etc::sourcelist="$1/list" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$1/lists" -o Dir::State::status="$1/status" -o Dir::Cache="$1/cache"
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3
  )
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends --download-only \
    "postgresql-$pg" "postgresql-$pg-timescaledb" coreutils dash >/dev/null
}

unpack() {
  [ -x "$root$bin/postgres" ] && return
  local work new=$root.new dir package
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  download "$work"
  rm -rf "$new"
  mkdir -p "$new"/{usr/bin,usr/lib,usr/lib64,usr/sbin,tmp,dev/shm,etc,var/lib/postgresql}
  for dir in bin lib lib64 sbin; do ln -s "usr/$dir" "$new/$dir"; done
  for package in "$work"/cache/archives/*.deb; do
    case ${package##*/} in
    libllvm* | libz3* | perl* | libperl* | debconf* | ssl-cert*) continue ;;
    locales* | systemd* | login* | passwd* | apt_* | dpkg_*) continue ;;
    esac
    dpkg-deb --fsys-tarfile "$package" |
      tar -x -C "$new" --keep-directory-symlink --no-same-owner \
        --exclude=./usr/share/{doc,man,locale,i18n,perl,info} --exclude='*.bc' --exclude='llvmjit*'
  done
  echo "postgres:x:$user:$user::/var/lib/postgresql:/bin/sh" >"$new/etc/passwd"
  echo "postgres:x:$user:" >"$new/etc/group"
  [ -e "$new/dev/null" ] || mknod -m 666 "$new/dev/null" c 1 3
  [ -e "$new/dev/urandom" ] || mknod -m 666 "$new/dev/urandom" c 1 9
  chmod 1777 "$new"/{tmp,dev/shm}
  chown -R $user:$user "$new/var/lib/postgresql"
  rm -rf "$root"
  mv "$new" "$root"
}

start() {
  if [ ! -s "$root$data/PG_VERSION" ]; then
    in_root "$bin/initdb" -D "$data" -U postgres --auth=trust -E UTF8 --no-sync >/dev/null
    cat >>"$root$data/postgresql.conf" <<CONF
listen_addresses='127.0.0.1'
unix_socket_directories=''
shared_preload_libraries='timescaledb'
timescaledb.telemetry_level=off
timezone='UTC'
jit=off
fsync=off
synchronous_commit=off
full_page_writes=off
CONF
  fi
  # Without a log file of its own the server would keep the caller's pipe open.
  in_root "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1 ||
    in_root "$bin/pg_ctl" -s -D "$data" -l "$data.log" -o "-p $port" -w start
  echo "postgresql://postgres@127.0.0.1:$(sed -n 4p "$root$data/postmaster.pid")/postgres"
}

stop() {
  [ ! -s "$root$data/postmaster.pid" ] || in_root "$bin/pg_ctl" -s -D "$data" -m fast stop
}

[ "$(id -u)" = 0 ] || cannot "a private TimescaleDB needs root: run the tests as root"
[ -r "$sources" ] && [ -r "$key" ] || cannot "a private TimescaleDB needs Debian with its keyring"
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9
unpack
exec 9>&-
case ${1:-start} in
unpack) ;;
start) start ;;
stop) stop ;;
remove)
  stop
  rm -rf "${root:?}$data" "$root$data.log"
  ;;
*) cannot "usage: $0 unpack|start|stop|remove" ;;
esac
