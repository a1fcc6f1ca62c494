# shellcheck shell=bash
# The libraries that packets are ciphered by: how compile.sh takes them from the machine that builds.

# Puts Intel's IPsec-MB and Google's BoringSSL of this machine beside the program, with their licences.
add_cipher() {
  [[ $target == "$host_target" ]] || return 0
  if [[ $target == x86_64-* ]]; then
    add_ipsec_mb ||
      say 'without IPsec-MB, which is quicker than libcrypto on many processors: `apt install libipsec-mb1` (or 2) and build again'
  fi
  add_boringssl ||
    say 'without BoringSSL, which is quicker than libcrypto: `apt install android-libboringssl` and build again'
}

add_ipsec_mb() {
  local library package
  # Some systems have no such cache of libraries.
  library=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null |
    sed -n 's|^\s*libIPSec_MB\.so\.[12] .*=> ||p' | head -n 1) || library=
  for package in libipsec-mb1 libipsec-mb2; do
    [[ -n $library && -e /usr/share/doc/$package/LICENSE ]] || continue
    cp -- "$(readlink -f "$library")" "$bundled/libIPSec_MB.so"
    cp -- "/usr/share/doc/$package/LICENSE" "$bundled/libIPSec_MB.LICENSE"
    return
  done
  return 1
}

add_boringssl() {
  local library licence=/usr/share/doc/android-libboringssl/copyright
  library=$(boringssl_path)
  [[ -e $library && -e $licence ]] || return 1
  cp -- "$(readlink -f "$library")" "$bundled/libboringssl.so"
  cp -- "$licence" "$bundled/libboringssl.LICENSE"
}

# Where Debian has it, out of the linker's way.
boringssl_path() { echo "/usr/lib/${target%%-*}-linux-gnu/android/libcrypto.so.0"; }
