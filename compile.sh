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

# shellcheck source=lib/packaging/cipher.sh
source "$root/lib/packaging/cipher.sh"
# shellcheck source=lib/packaging/self_extracting.sh
source "$root/lib/packaging/self_extracting.sh"
# shellcheck source=lib/packaging/install.sh
source "$root/lib/packaging/install.sh"
# shellcheck source=lib/packaging/oci_image.sh
source "$root/lib/packaging/oci_image.sh"

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
  add_cipher
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
  # The runtime reads what a plain string names at each start, whether or not it is called for: megabytes of text.
  sed -i 's|\bimport(\("\./[^"]*\.js"\))|import(String(\1))|g' "$bundled"/*.js
  if missing=$(grep -hoE 'new URL\("[^"]*\.ts", import\.meta\.url\)' "$bundled"/*.js); then
    fail "cannot bundle the program: this names a module that is not bundled: $missing"
  fi
  while read -r thread; do
    [[ -f $bundled/$thread ]] || fail "cannot bundle the program: it starts $thread, which is not bundled"
  done < <(sed -n 's|.*new URL("\./\([a-z_]*\.js\)", import\.meta\.url).*|\1|p' "$bundled"/*.js)
  "$deno" eval '
    const { bundlePage } = await import(Deno.args[0]);
    await bundlePage(Deno.args[1]);
  ' "$root/lib/console/page_files.ts" "$bundled"
  title=$("$deno" run --quiet --allow-all "$root/main.ts" --version)
  # From this file the built program knows its commit.
  sed -n 's/.*(\([0-9a-f]*\))$/\1/p' <<<"$title" >"$bundled/commit.txt"
  # What the runtime may do, and what the engine may take.
  flags=$("$deno" eval '
    const { tasks } = JSON.parse(Deno.readTextFileSync(Deno.args[0]));
    console.log(tasks.vpn.split(" ").filter((word) => /^--(allow|v8)-/.test(word)).join(" "));
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
  # The flags are words.
  # shellcheck disable=SC2086
  if ! (cd "$bundled" && "$deno" compile --quiet --no-check --no-config --no-lock --no-npm --no-remote --no-prompt \
    $flags "${included[@]}" --target "$target" --output "$work/result" main.js); then
    reason="as \`deno compile\` failed with $denort"
  elif [[ $target == "$host_target" && $("$work/result" --version </dev/null) != "$title" ]]; then
    reason="as what \`deno compile\` makes with $denort does not run"
  else
    return 0
  fi
  return 1
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
    $flags "$bundled/main.js" --version || fail "cannot run $result"
}

# --- A container image.

# make_image EXECUTABLE ARCHIVE
make_image() {
  local program=$bundled architecture=amd64
  if [[ $way == 'deno compile' ]]; then
    program=$work/program
    install -D -m 755 "$1" "$program/vpn"
  fi
  [[ $target != aarch64-* ]] || architecture=arm64
  image_root "$work/image" "$program" "$flags"
  image_archive "$work/image" "$work/image.tar" "$architecture" "$(sed 's/^vpn \([^ ]*\).*/\1/' <<<"$title")"
  mv "$work/image.tar" "$2"
  say "made the image $2, called $image_name"
}

main "$@"
