#!/bin/sh
# @TITLE@ for @TARGET@, made by compile.sh: a self-extracting executable.
# Behind @HEAD_BYTES@ bytes of script stands a tar.gz with the program and its runtime, called `vpn`. It is unpacked
# once, into a folder named by its SHA-256, and run from there.
hash=@HASH@
files='@FILES@'
case $0 in /*) self=$0 ;; *) self=$PWD/$0 ;; esac
names=
for file in $files; do names="$names ${file%:*}"; done

# ours FOLDER NAME...: whether only root and this user can change the folder and these files in it, or put another in its
# place: so all folders above it count. Sets `within` to its path without links, `found` to the files' sizes. One `ls` tells
# all of it.
ours() {
  [ ! -h "$1" ] && [ ! -h "${1%/*}" ] || return 1
  within=$(cd -P "$1" 2>/dev/null && pwd -P) || return 1
  shift
  above=${within%/*/*}
  while [ -n "$above" ]; do
    above=${above%/*}
    set -- "${above:-/}" "$@"
  done
  lines=$(cd "$within" 2>/dev/null && LC_ALL=C ls -ldn ../.. .. . deno "$@" 2>/dev/null) || return 1
  found=
  top=0
  while read -r mode _ uid _ size _ _ _ name; do
    case $name in
      # In a user namespace, root and all others outside of it have one number.
      /) top=$uid ;;
      /*) [ "$uid" = 0 ] || [ "$uid" = "$top" ] || [ -O "$name" ] || return 1 ;;
      *) [ "$uid" = 0 ] || [ -O "$within/$name" ] || return 1 ;;
    esac
    case $name:$mode in
      # The folder that ours is made in may be a group's, and everybody's if it is sticky, as /tmp is. So may those above.
      ../..:?????????[tT]* | ../..:????????-* | /*:?????????[tT]* | /*:????????-*) ;;
      *:l* | *:?????w* | *:????????w*) return 1 ;;
    esac
    case $name in
      *.. | . | deno | /*) continue ;;
    esac
    [ "$within/$name" -nt "$within/verified" ] && return 1
    found="$found $name:$size"
  done <<LINES
$lines
LINES
}

# mine FOLDER: makes it, if need be. Another user's, or a link, is left alone: in /tmp anybody can put one in our way.
mine() {
  [ -e "$1" ] || [ -h "$1" ] || mkdir "$1" || :
  [ -d "$1" ] && [ ! -h "$1" ] && [ -O "$1" ]
}

payload() { tail -c "+$((@HEAD_BYTES@ + 1))" "$self"; }
sum() { sha256sum 2>/dev/null || shasum -a 256 2>/dev/null || openssl dgst -sha256 -r 2>/dev/null; }

# Unpacks and tries it beside the place where it belongs, then moves each file there by itself, `verified` last. A file
# is the same, whichever process moves it. So neither two first starts at once nor a repair while it runs do any harm.
unpack() (
  umask 022
  parent=${1%/*}
  mkdir -p "${parent%/*}/" && mine "$parent" && mine "$1" && mine "$1/deno" || exit 1
  # What the engine keeps there cannot be trusted either if others could change it.
  ours "$1" ||
    { chmod go-w "$parent" && mine "$1" && chmod go-w "$1" && rm -rf "$1/deno" && mine "$1/deno" && ours "$1"; } || exit 1
  find "$1" -name '.new.*' -mmin +60 -exec rm -rf {} +
  new=$(mktemp -d "$1/.new.XXXXXX") || exit 1
  trap 'rm -rf "$new"' EXIT
  trap 'exit 1' HUP INT TERM
  payload | gzip -dc | tar -xof - -C "$new" || exit 1
  (export DENO_DIR="$new/deno" && start "$new" --version </dev/null >/dev/null) || exit 1
  for name in $names; do mv -f "$new/$name" "$1/$name" || exit 1; done
  : >"$new/verified" && mv -f "$new/verified" "$1/verified"
)

# start FOLDER ARGUMENT...: becomes the program.
start() {
  export DENO_NO_UPDATE_CHECK=1
  folder=$1
  shift
  set -- "$folder/vpn" run --quiet --no-config --no-lock --no-npm --no-remote --no-prompt --cached-only @FLAGS@ \
    "$folder/main.js" "$@"
  # A program that shows by the name it was called by takes more than POSIX has.
  [ -x /bin/bash ] && exec /bin/bash -c 'exec -a "$0" "$@"' "$0" "$@"
  exec "$@"
}

# try FOLDER ARGUMENT...: becomes the program if all of it is in the folder, unchanged since it was unpacked.
try() {
  [ -f "$1/verified" ] && ours "$1" $names && [ "$found" = " $files" ] || return 1
  shift
  export DENO_DIR="$within/deno"
  start "$within" "$@"
}

shared=${VPN_CACHE:-/var/cache/vpn}/$hash
case ${XDG_CACHE_HOME-} in
  /*) own=$XDG_CACHE_HOME/vpn/$hash ;;
  *) own=${HOME:-/nonexistent}/.cache/vpn/$hash ;;
esac
# `sudo -E` leaves root with a user's home, who could change what is unpacked there, and is not to find root's folders.
[ -O "${HOME:-/nonexistent}" ] || own=
try "$shared" "$@"
[ -z "$own" ] || try "$own" "$@"
private=${TMPDIR:-/tmp}/vpn-$(id -u)/$hash
try "$private" "$@"

case $(payload | sum) in
  "$hash"* | '') ;;
  *)
    echo "vpn: Cannot start: $self is damaged: its content differs from the build: download or build it again" >&2
    exit 1
    ;;
esac
[ -t 2 ] && echo 'vpn: unpacking itself, once' >&2
troubles=
for folder in "$shared" ${own:+"$own"} "$private"; do
  trouble=$(unpack "$folder" 2>&1)
  try "$folder" "$@"
  troubles="$troubles${folder%/*}: ${trouble:-others can change it, or a link leads there}; "
done
echo "vpn: Cannot start: cannot unpack: $troubles""set VPN_CACHE to a folder of yours" | tr '\n' ' ' >&2
echo >&2
exit 1
