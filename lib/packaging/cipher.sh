# shellcheck shell=bash
# The library that packets are ciphered by: how compile.sh takes it from the machine that builds.

# Puts Intel's IPsec-MB of this machine beside the program, with its licence.
add_cipher() {
  local library package
  [[ $target == "$host_target" && $target == x86_64-* ]] || return 0
  # Some systems have no such cache of libraries.
  library=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null |
    sed -n 's|^\s*libIPSec_MB\.so\.[12] .*=> ||p' | head -n 1) || library=
  for package in libipsec-mb1 libipsec-mb2; do
    [[ -n $library && -e /usr/share/doc/$package/LICENSE ]] || continue
    cp -- "$(readlink -f "$library")" "$bundled/libIPSec_MB.so"
    cp -- "/usr/share/doc/$package/LICENSE" "$bundled/libIPSec_MB.LICENSE"
    return
  done
  say 'without IPsec-MB, which is quicker than libcrypto on many processors: `apt install libipsec-mb1` (or 2) and build again'
}
