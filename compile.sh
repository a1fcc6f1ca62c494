#!/usr/bin/env bash
# Builds the whole program into one executable, dist/vpn. See `./compile.sh --help`.
#
# There are two ways, and the first that works is taken:
#   1. `deno compile`, where the runtime that it embeds (denort) can be had.
#   2. Where it cannot, as on a machine that reaches package registries only: a self-extracting executable, a short shell
#      head with an archive behind it that holds the bundled program and the very `deno` that builds it.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Used where no deno is installed.
npm_deno=deno@2.9.6
# Seconds that looking for denort on the network may take.
network_limit=5
# Length to which the head of a self-extracting executable is padded.
head_bytes=8192

usage() {
  cat <<'TEXT'
Usage: ./compile.sh [--target TARGET] [--output FILE] [--pack] [--oci] [--install [PREFIX]]

  --target TARGET  x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu (default: this machine)
  --output FILE    path of the executable (default: dist/vpn)
  --pack           build a self-extracting executable even if `deno compile` works
  --oci            also build a container image, FILE.oci.tar, with the libraries of this machine, for `podman load` and
                   `docker load`
  --install        also install it below PREFIX (default: /usr/local), with manual, completions, systemd units and
                   Grafana dashboard

Environment: DENO (deno to build with), DENORT_BIN (denort to embed), DESTDIR (root directory of the installation).
TEXT
}

say() { printf 'compile.sh: %s\n' "$*"; }
fail() {
  printf 'compile.sh: %s\n' "$*" >&2
  exit 1
}

main() {
  local result=$root/dist/vpn pack_only=false has_image=false prefix=
  target=
  while (($# > 0)); do
    [[ $1 != --target && $1 != --output || -n ${2-} ]] || fail "$1 needs a value"
    case $1 in
      --target) target=$2 && shift 2 ;;
      --output) result=$(realpath -m -- "$2") && shift 2 ;;
      --pack) pack_only=true && shift ;;
      --oci) has_image=true && shift ;;
      --install)
        prefix=/usr/local && shift
        [[ ${1--} == -* ]] || { prefix=$1 && shift; }
        [[ $prefix == /* ]] || fail "cannot install to \"$prefix\": PREFIX must begin with \"/\""
        ;;
      --help | -h) usage && exit ;;
      *) usage >&2 && fail "unknown argument \"$1\"" ;;
    esac
  done
  find_deno
  : "${target:=$host_target}"
  case $target in
    x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
    *) fail "cannot build for \"$target\": --target is x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu" ;;
  esac

  if $has_image && [[ $target != "$host_target" ]]; then
    fail "cannot make an image for \"$target\" here: its libraries are this machine's: run this on a machine of that kind"
  fi

  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$(dirname "$result")"
  rm -f "$result"
  bundle
  if $pack_only; then
    reason='as asked by --pack'
    pack
  elif find_denort && compile_with_denort; then
    reason="with $denort"
  else
    pack
  fi
  mv "$work/result" "$result"
  say "built $result by $way, $reason"
  measure "$result"
  ! $has_image || make_image "$result" "$result.oci.tar"
  [[ -z $prefix ]] || install_below "$prefix" "$result"
}

# --- The runtime that builds.

# Sets `deno` to the runtime's own path, behind the wrapper that npm puts into PATH, and what else it says of itself.
find_deno() {
  local starter=("${DENO:-deno}") facts
  if ! command -v "${starter[0]}" >/dev/null; then
    [[ -z ${DENO:-} ]] || fail "cannot run DENO=$DENO"
    command -v npx >/dev/null || fail 'cannot find deno: install Deno, or Node for its npx, or set DENO'
    starter=(npx -y "$npm_deno")
  fi
  facts=$("${starter[@]}" eval 'console.log(Deno.execPath(), Deno.version.deno, Deno.build.target)')
  read -r deno version host_target <<<"$facts"
}

# --- The program, bundled into a few files of JavaScript with the npm packages inside.

bundle() {
  bundled=$work/bundle
  local thread missing
  cd "$root"
  "$deno" bundle --quiet --platform deno --code-splitting --outdir "$bundled" main.ts
  # A thread begins with a module that no import leads to.
  while read -r thread; do
    "$deno" bundle --quiet --platform deno --outdir "$bundled" "$thread"
  done < <(find lib -name '*_worker.ts')
  sed -i 's|\(new URL("\./[a-z_]*_worker\)\.ts\(", import\.meta\.url)\)|\1.js\2|' "$bundled"/*.js
  if missing=$(grep -hoE 'new URL\("[^"]*\.ts", import\.meta\.url\)' "$bundled"/*.js); then
    fail "cannot bundle the program: this names a module that is not bundled: $missing"
  fi
  while read -r thread; do
    [[ -f $bundled/$thread ]] || fail "cannot bundle the program: it starts $thread, which is not bundled"
  done < <(sed -n 's|.*new URL("\./\([a-z_]*\.js\)", import\.meta\.url).*|\1|p' "$bundled"/*.js)
  title=$("$deno" run --quiet --allow-all "$root/main.ts" --version)
  # From this file the built program knows its commit.
  sed -n 's/.*(\([0-9a-f]*\))$/\1/p' <<<"$title" >"$bundled/commit.txt"
  permissions=$("$deno" eval '
    const { tasks } = JSON.parse(Deno.readTextFileSync(Deno.args[0]));
    console.log(tasks.vpn.split(" ").filter((word) => word.startsWith("--allow-")).join(" "));
  ' "$root/deno.json")
}

# --- Way 1: deno compile.

# Sets `denort` to where a denort of this version comes from. Where there is none, `reason` says so.
find_denort() {
  local archive="release/v$version/denort-$target.zip" cache
  cache=$("$deno" info --json | sed -n 's/.*"denoDir": "\(.*\)",*$/\1/p')
  if [[ -n ${DENORT_BIN:-} ]]; then
    denort=$DENORT_BIN
  elif [[ $target == "$host_target" && -x ${deno%/*}/denort ]]; then
    denort=${deno%/*}/denort
    export DENORT_BIN=$denort
  elif [[ -f $cache/dl/$archive ]]; then
    denort=$cache/dl/$archive
  elif on_network "https://dl.deno.land/$archive"; then
    denort=https://dl.deno.land/$archive
  else
    reason="as there is no denort $version for $target: not in DENORT_BIN, beside deno, in Deno's cache or on the network"
    return 1
  fi
}

on_network() {
  "$deno" eval '
    const [url, seconds] = Deno.args;
    const late = setTimeout(() => Deno.exit(1), seconds * 1000);
    const { ok } = await fetch(url, { method: "HEAD" });
    clearTimeout(late);
    Deno.exit(ok ? 0 : 1);
  ' "$1" "$network_limit" 2>"$work/network.txt"
}

compile_with_denort() {
  local file included=()
  for file in "$bundled"/*; do
    [[ $file == */main.js ]] || included+=(--include "$file")
  done
  way='deno compile'
  # The permissions are words.
  # shellcheck disable=SC2086
  if ! (cd "$bundled" && "$deno" compile --quiet --no-check --no-config --no-lock --no-npm --no-remote --no-prompt \
    $permissions "${included[@]}" --target "$target" --output "$work/result" main.js); then
    reason="as \`deno compile\` failed with $denort"
  elif [[ $target == "$host_target" && $("$work/result" --version </dev/null) != "$title" ]]; then
    reason="as what \`deno compile\` makes with $denort does not run"
  else
    return 0
  fi
  return 1
}

# --- Way 2: a self-extracting executable.

pack() {
  local archive=$work/payload.tar.gz hash manifest head
  way='packing'
  get_runtime "$bundled/vpn"
  chmod 644 "$bundled"/*
  chmod 755 "$bundled/vpn"
  # The same sources give the same bytes. And whatever is changed after unpacking has a later time than this.
  touch -d '2000-01-01T00:00:00Z' "$bundled"/*
  (cd "$bundled" && tar -cf - --format=ustar --owner=0 --group=0 --numeric-owner -- *) | gzip -6 -n >"$archive"
  hash=$(sha256sum <"$archive")
  manifest=$(cd "$bundled" && stat -c '%n:%s' -- *)
  head=$(sed -e "s|@TITLE@|$title|; s|@TARGET@|$target|; s|@HEAD_BYTES@|$head_bytes|; s|@HASH@|${hash%% *}|" \
    -e "s|@FILES@|${manifest//$'\n'/ }|; s|@PERMISSIONS@|$permissions|" <<<"$head_template")
  ((${#head} < head_bytes)) || fail "the head is longer than $head_bytes bytes"
  {
    printf '%s%*s\n' "$head" "$((head_bytes - ${#head} - 1))" ''
    cat "$archive"
  } >"$work/result"
  chmod 755 "$work/result"
}

# get_runtime FILE: puts the deno for the target there.
get_runtime() {
  local package folder=$work/package
  case $target in
    "$host_target")
      cp "$deno" "$1"
      return
      ;;
    x86_64-*) package=@deno/linux-x64-glibc@$version ;;
    aarch64-*) package=@deno/linux-arm64-glibc@$version ;;
  esac
  command -v npm >/dev/null || fail "cannot build for $target: its deno comes from npm, which is not installed here"
  say "getting $package by npm"
  mkdir "$folder"
  (cd "$folder" && npm pack --loglevel=error "$package" >/dev/null && tar -xzf ./*.tgz package/deno) ||
    fail "cannot build for $target: npm did not give us $package"
  mv "$folder/package/deno" "$1"
}

# --- What it costs.

measure() {
  local result=$1 bytes
  bytes=$(stat -c %s "$result")
  say "size: $((bytes / 1000000)).$((bytes / 100000 % 10)) MB"
  if [[ $target != "$host_target" ]]; then
    say "start not measured: it is made for $target"
    return
  fi
  # shellcheck disable=SC2086
  VPN_CACHE=$work/cache "$deno" eval '
    function run(command) {
      const [program, ...args] = command;
      const start = performance.now();
      const { success } = new Deno.Command(program, { args, stdin: "null", stdout: "null" }).outputSync();
      if (!success) Deno.exit(1);
      return performance.now() - start;
    }
    const median = (times) => times.sort((a, b) => a - b)[times.length >> 1].toFixed(0);
    const [result, ...bare] = Deno.args;
    const first = run([result, "--version"]);
    run(bare);
    const times = { result: [], bare: [] };
    for (let n = 0; n < 15; n++) {
      times.result.push(run([result, "--version"]));
      times.bare.push(run(bare));
    }
    console.log(
      `compile.sh: start: ${median(times.result)} ms, ${first.toFixed(0)} ms the first time; ` +
        `\`deno run\` of the same program: ${median(times.bare)} ms`,
    );
  ' "$result" "$deno" run --quiet --no-config --no-lock --no-npm --no-remote --no-prompt --cached-only \
    $permissions "$bundled/main.js" --version || fail "cannot run $result"
}

# --- A container image.

# make_image EXECUTABLE ARCHIVE
make_image() {
  local program=$bundled architecture=amd64
  # shellcheck source=lib/packaging/oci_image.sh
  source "$root/lib/packaging/oci_image.sh"
  if [[ $way == 'deno compile' ]]; then
    program=$work/program
    install -D -m 755 "$1" "$program/vpn"
  fi
  [[ $target != aarch64-* ]] || architecture=arm64
  image_root "$work/image" "$program" "$permissions"
  image_archive "$work/image" "$work/image.tar" "$architecture" "$(sed 's/^vpn \([^ ]*\).*/\1/' <<<"$title")"
  mv "$work/image.tar" "$2"
  say "made the image $2, called $image_name"
}

# --- Where it is installed.

# install_below PREFIX EXECUTABLE: below DESTDIR, if there is one.
install_below() {
  local prefix=${1%/} shell unit
  mkdir "$work/install"
  cd "$work/install"
  put 755 "$2" "$prefix/bin/vpn"
  "$deno" run --quiet --allow-read --config "$root/deno.json" - >vpn.8 <<SCRIPT
    import { manPage } from "$root/lib/cli/man_page.ts";
    console.log(manPage(Deno.readTextFileSync("$root/lib/packaging/vpn.8")).trimEnd());
SCRIPT
  put 644 vpn.8 "$prefix/share/man/man8/vpn.8"
  for shell in bash zsh fish; do
    "$deno" run --quiet --allow-all "$root/main.ts" completion "$shell" >"completion.$shell"
  done
  put 644 completion.bash "$prefix/share/bash-completion/completions/vpn"
  put 644 completion.zsh "$prefix/share/zsh/site-functions/_vpn"
  put 644 completion.fish "$prefix/share/fish/vendor_completions.d/vpn.fish"
  for unit in vpn@.service vpn-server@.service vpn-client@.service vpn-killswitch@.service; do
    sed "s|@BINDIR@|$prefix/bin|" "$root/lib/packaging/$unit" >"$unit"
    put 644 "$unit" "$prefix/lib/systemd/system/$unit"
  done
  put 644 "$root/lib/packaging/grafana_dashboard.json" "$prefix/share/vpn/grafana_dashboard.json"
  if [[ -z ${DESTDIR:-} && -d /run/systemd/system ]]; then systemctl daemon-reload; fi
}

# put MODE FILE PATH
put() {
  install -D -m "$1" -- "$2" "${DESTDIR:-}$3" || fail "cannot install ${DESTDIR:-}$3"
  say "installed ${DESTDIR:-}$3"
}

# --- The head of a self-extracting executable, for any POSIX shell with `test -O` and `test -nt`: dash, bash, ksh,
# --- busybox. It ends before the shell reads what stands behind it. An ordinary start runs one other program, `ls`.

read -r -d '' head_template <<'HEAD' || true
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
# is the same whoever moves it. So neither two first starts at once nor a repair while it runs do any harm.
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
  set -- "$folder/vpn" run --quiet --no-config --no-lock --no-npm --no-remote --no-prompt --cached-only @PERMISSIONS@ \
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
HEAD

main "$@"
