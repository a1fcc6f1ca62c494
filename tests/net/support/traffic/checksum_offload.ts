/**
 * Checksum offload is taken from a virtual cable: what leaves it then is whole, and of the size that it has on a wire.
 */
import { check } from "../../../../ffi/errno.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { type TestNamespace } from "../../../support/net.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
// include/uapi/linux/sockios.h, include/uapi/linux/ethtool.h
const SIOCETHTOOL = 0x8946;
const ETHTOOL_STXCSUM = 0x17;

/** `struct ifreq { char ifr_name[16]; union { void *ifr_data; ... }; }` on 64-bit machines. */
const IFREQ_SIZE = 40;
const IFR_DATA = 16;

/**
 * Does what `ethtool -K NAME tx off` does. Segmentation needs it, so the kernel makes datagrams and segments of their
 * own size, with right checksums, before they leave the interface.
 *
 * @throws {SystemCallError} EOPNOTSUPP where the interface has no such feature
 */
export function withoutChecksumOffload(namespace: TestNamespace, interfaceName: string): void {
  const libc = openLibc();
  // struct ethtool_value { __u32 cmd; __u32 data; }
  const value = Uint32Array.of(ETHTOOL_STXCSUM, 0);
  const request = new Uint8Array(IFREQ_SIZE);
  new TextEncoder().encodeInto(interfaceName, request);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(value));
  new DataView(request.buffer).setBigUint64(IFR_DATA, address, true);
  namespace.inside(() => {
    const fd = check(libc, libc.symbols.socket(AF_INET, SOCK_DGRAM, 0), "open socket");
    try {
      const action = `switch off checksum offload of ${interfaceName}`;
      check(libc, libc.symbols.ioctl(fd, SIOCETHTOOL, request), action);
    } finally {
      libc.symbols.close(fd);
    }
  });
}
