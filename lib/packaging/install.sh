# shellcheck shell=bash
# Installation: how compile.sh puts the executable, its manual, completions, systemd units and dashboard below a prefix.

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
  for unit in vpn@.service vpn-server@.service vpn-client@.service vpn-killswitch@.service \
    vpn-console@.service; do
    sed "s|@BINDIR@|$prefix/bin|" "$root/lib/packaging/$unit" >"$unit"
    put 644 "$unit" "$prefix/lib/systemd/system/$unit"
  done
  put 644 "$root/lib/packaging/vpn-console.sysusers" "$prefix/lib/sysusers.d/vpn-console.conf"
  put 644 "$root/lib/packaging/grafana_dashboard.json" "$prefix/share/vpn/grafana_dashboard.json"
  if [[ -z ${DESTDIR:-} && -d /run/systemd/system ]]; then
    systemctl daemon-reload
    systemd-sysusers "$prefix/lib/sysusers.d/vpn-console.conf" || say 'no user vpn-console: vpn-console@ needs it'
  fi
}

# put MODE FILE PATH
put() {
  install -D -m "$1" -- "$2" "${DESTDIR:-}$3" || fail "cannot install ${DESTDIR:-}$3"
  say "installed ${DESTDIR:-}$3"
}
