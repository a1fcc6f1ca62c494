# shellcheck shell=bash
# OCI image: how compile.sh puts the program, a shell for its hooks, and the libraries of both into an image, without a network
# and without an engine. Its archive is one that `podman load` and `docker load` take: an OCI image layout
# (github.com/opencontainers/image-spec) with the manifest.json of older engines beside it. The same files give the same bytes.

# Of all that is in the image.
readonly image_time='2000-01-01T00:00:00Z'
readonly image_name='localhost/vpn:latest'

# image_root FOLDER PROGRAM_FOLDER FLAGS: lays out the image's files. PROGRAM_FOLDER has either `vpn` alone, an executable of
# `deno compile`, or the runtime by that name with the bundle beside it.
image_root() {
  local root=$1 program=$2 flags=$3 file library
  umask 022
  mkdir -p "$root"/{dev,etc/vpn,proc,root,run,sys,tmp,usr/{bin,lib,lib64,sbin},var/{cache/vpn,lib/vpn-console}}
  chmod 700 "$root/etc/vpn" "$root/root"
  # A volume takes over the mode: the console makes a folder of its own there.
  chmod 1777 "$root/tmp" "$root/var/lib/vpn-console"
  for file in bin lib lib64 sbin; do ln -s "usr/$file" "$root/$file"; done
  ln -s ../run "$root/var/run"
  printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'vpn-console:x:999:999::/:/bin/false' >"$root/etc/passwd"
  printf '%s\n' 'root:x:0:' 'vpn-console:x:999:' >"$root/etc/group"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  if [[ -e $program/main.js ]]; then
    mkdir "$root/usr/lib/vpn"
    for file in "$program"/*; do image_put "$root" "$file" "/usr/lib/vpn/${file##*/}"; done
    cat >"$root/usr/bin/vpn" <<SCRIPT
#!/bin/sh
export DENO_NO_UPDATE_CHECK=1 DENO_DIR=/var/cache/vpn
exec /usr/lib/vpn/vpn run --quiet --no-config --no-lock --no-npm --no-remote --no-prompt --cached-only \\
  $flags /usr/lib/vpn/main.js "\$@"
SCRIPT
    chmod 755 "$root/usr/bin/vpn"
  else
    image_put "$root" "$program/vpn" /usr/bin/vpn
  fi
  # PostUp and its kin are commands of a shell.
  image_put "$root" "$(readlink -f /bin/sh)" /usr/bin/sh
  while read -r library; do image_put "$root" "$library" "$library"; done < <(image_libraries "$program/vpn")
  for file in dash libc6 libgcc-s1 libssl3; do
    file=/usr/share/doc/$file/copyright
    [[ ! -e $file ]] || image_put "$root" "$file" "$file"
  done
}

# image_put ROOT FILE PATH
image_put() {
  local path=$3 mode=644
  # Where /lib is not a link to /usr/lib on this host, it is in the image.
  [[ $path != /lib* ]] || path=/usr$path
  [[ ! -x $2 ]] || mode=755
  install -D -m "$mode" -- "$2" "$1$path"
}

# image_libraries PROGRAM: the paths of what it and the shell are linked to, of the cipher's library, where this host has it, and
# of what older C libraries load to look names up.
image_libraries() {
  local cipher folder file
  folder=$(ldd "$1" | sed -n 's|.* \(/[^ ]*\)/libc\.so\.6 .*|\1|p')
  cipher=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p | sed -n 's|^\s*libcrypto\.so\.3 .*=> ||p' | head -n 1)
  {
    ldd "$1" /bin/sh ${cipher:+"$cipher"} | grep -o '/[^ :]*\.so[^ :]*'
    [[ -z $cipher ]] || echo "$cipher"
    for file in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2; do
      [[ ! -e $folder/$file ]] || echo "$folder/$file"
    done
  } | sort -u
}

# image_archive ROOT RESULT ARCHITECTURE VERSION: writes the archive of an image with one layer, the files of ROOT.
image_archive() {
  local root=$1 result=$2 architecture=$3 version=$4 layout layer config manifest diff_id
  # Beside the result, in a folder that its owner removes, however this ends.
  layout=$(mktemp -d "$result.XXXXXX")
  mkdir -p "$layout/blobs/sha256"
  image_tar "$root" . >"$layout/layer"
  diff_id=$(image_digest "$layout/layer")
  gzip -6 -n "$layout/layer"
  layer=$(image_blob "$layout" application/vnd.oci.image.layer.v1.tar+gzip <"$layout/layer.gz")
  rm "$layout/layer.gz"
  config=$(image_config "$architecture" "$version" "$diff_id" |
    image_blob "$layout" application/vnd.oci.image.config.v1+json)
  manifest=$(printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' \
    application/vnd.oci.image.manifest.v1+json "$config" "$layer" |
    image_blob "$layout" application/vnd.oci.image.manifest.v1+json)
  printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s,"annotations":{"%s":"%s","%s":"%s"}}]}' \
    application/vnd.oci.image.index.v1+json "${manifest%\}}" \
    io.containerd.image.name "$image_name" org.opencontainers.image.ref.name "$image_name" >"$layout/index.json"
  printf '[{"Config":"%s","RepoTags":["%s"],"Layers":["%s"]}]' \
    "$(image_path "$config")" "$image_name" "$(image_path "$layer")" >"$layout/manifest.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  chmod -R u=rwX,go=rX "$layout"
  image_tar "$layout" blobs index.json manifest.json oci-layout >"$result"
  rm -rf "$layout"
}

# image_config ARCHITECTURE VERSION DIFF_ID. The health check is an extension of Docker's.
image_config() {
  cat <<JSON
{
  "created": "$image_time",
  "architecture": "$1",
  "os": "linux",
  "config": {
    "ExposedPorts": { "51820/udp": {}, "51821/tcp": {} },
    "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    "Entrypoint": ["/usr/bin/vpn"],
    "Cmd": ["server", "--config", "/etc/vpn/server.conf"],
    "WorkingDir": "/etc/vpn",
    "StopSignal": "SIGTERM",
    "Labels": {
      "org.opencontainers.image.title": "vpn",
      "org.opencontainers.image.version": "$2",
      "org.opencontainers.image.licenses": "MIT"
    },
    "Healthcheck": {
      "Test": ["CMD", "/usr/bin/vpn", "status", "--json"],
      "Interval": 30000000000,
      "Timeout": 10000000000,
      "StartPeriod": 10000000000,
      "Retries": 3
    }
  },
  "rootfs": { "type": "layers", "diff_ids": ["sha256:$3"] },
  "history": [{ "created": "$image_time", "created_by": "compile.sh --oci" }]
}
JSON
}

# image_blob LAYOUT TYPE: puts standard input into the layout, and writes its descriptor.
image_blob() {
  local blob digest
  blob=$(mktemp "$1/blob.XXXXXX")
  cat >"$blob"
  digest=$(image_digest "$blob")
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%s}' "$2" "$digest" "$(stat -c %s "$blob")"
  mv "$blob" "$1/blobs/sha256/$digest"
}

# image_path DESCRIPTOR: where its blob is in the layout.
image_path() { sed 's|.*"sha256:\([0-9a-f]*\)".*|blobs/sha256/\1|' <<<"$1"; }

image_digest() { sha256sum <"$1" | cut -d ' ' -f 1; }

image_tar() {
  local folder=$1
  shift
  tar -C "$folder" -cf - --format=ustar --sort=name --mtime="$image_time" --owner=0 --group=0 --numeric-owner -- "$@"
}
