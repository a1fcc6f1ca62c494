# shellcheck shell=bash
# Self-extracting executable: how compile.sh puts the bundled program and the runtime behind a short shell head.
#
# The head (self_extracting_head.sh) is for any POSIX shell with `test -O` and `test -nt`: dash, bash, ksh, busybox. It
# ends before the shell reads the archive behind it. An ordinary start runs one other program, `ls`.

# Length to which the head is padded.
readonly head_bytes=16384

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
    -e "s|@FILES@|${manifest//$'\n'/ }|; s|@FLAGS@|$flags|" \
    "$root/lib/packaging/self_extracting_head.sh")
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
