/** Nftables presence: whether the kernel has the firewall that parts of a tunnel cannot do without. */
import { openLibc } from "../../../ffi/libc.ts";
import { NoNftablesError } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";

/** @throws {NetlinkError} EPERM without CAP_NET_ADMIN */
export function hasNftables(): boolean {
  try {
    using nftables = Nftables.open(openLibc(), { owned: false });
    nftables.listTables();
    return true;
  } catch (error) {
    if (error instanceof NoNftablesError) return false;
    throw error;
  }
}
