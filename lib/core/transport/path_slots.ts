/** Path slots: what is read of a path by its number. */
import { type HostAddress, IPV6_SIZE } from "../wire/host_address.ts";
import type { SocketAddress } from "../wire/socket_address.ts";
import {
  addressOf,
  hashOfAddress6,
  hashOfNetwork6,
  isSlot6,
  PATH_ADDRESS6_OFFSET,
  PATH_ADDRESS_OFFSET,
  PATH_PORT_OFFSET,
  PATH_SLOT_SIZE,
  PATH_SOURCE_OFFSET,
  PATH_TRANSPORT_OFFSET,
  sourceDigestOf,
} from "./path_slot.ts";
import type { Transport } from "./transport.ts";

export class PathSlots {
  /** The slots; path `n` begins at `n * PATH_SLOT_SIZE`. Others whenever the table has grown. */
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer);
  /** 32 bits that nobody outside knows. */
  protected seed = 0;

  /** Whether the far end has an IPv6 address. */
  isIpv6(path: number): boolean {
    return isSlot6(this.view, path * PATH_SLOT_SIZE);
  }

  /** The far end's address, by value: of IPv6 this makes a text. */
  address(path: number): HostAddress {
    return addressOf(this.view, path * PATH_SLOT_SIZE);
  }

  /** The far end's IPv4 address, int32, host order; of an IPv6 path 0. */
  ipv4Address(path: number): number {
    return this.view.getInt32(path * PATH_SLOT_SIZE + PATH_ADDRESS_OFFSET);
  }

  /** The far end's port; 0 of `NO_PATH`. */
  port(path: number): number {
    return this.view.getUint16(path * PATH_SLOT_SIZE + PATH_PORT_OFFSET);
  }

  /** Our own IPv4 address, host order, as uint32; 0 where the kernel chooses. */
  source(path: number): number {
    return this.view.getUint32(path * PATH_SLOT_SIZE + PATH_SOURCE_OFFSET);
  }

  /** Our own address as an int32: that of IPv4 itself, a digest of that of IPv6; 0 where the kernel chooses. */
  sourceDigest(path: number): number {
    return sourceDigestOf(this.view, path * PATH_SLOT_SIZE);
  }

  /**
   * The far end's address as an int32 by which parties are told apart: that of IPv4 itself, and of IPv6 a hash of which
   * nobody outside knows the key.
   */
  addressKey(path: number): number {
    const at = path * PATH_SLOT_SIZE;
    return isSlot6(this.view, at)
      ? hashOfAddress6(this.view, at, this.seed)
      : this.view.getInt32(at + PATH_ADDRESS_OFFSET);
  }

  /** The same of the party that can choose the address: of IPv6, a /64 is one. */
  partyKey(path: number): number {
    const at = path * PATH_SLOT_SIZE;
    return isSlot6(this.view, at)
      ? hashOfNetwork6(this.view, at, this.seed)
      : this.view.getInt32(at + PATH_ADDRESS_OFFSET);
  }

  /**
   * Writes the far end's address, and then its port, in network order to the beginning of `into`.
   *
   * @param into has room for 6 bytes, or for 18 of IPv6
   */
  writeEnd(path: number, into: DataView): void {
    const at = path * PATH_SLOT_SIZE;
    const { view } = this;
    const [from, size] = isSlot6(view, at)
      ? [at + PATH_ADDRESS6_OFFSET, IPV6_SIZE]
      : [at + PATH_ADDRESS_OFFSET, 4];
    for (let i = 0; i < size; i += 4) into.setInt32(i, view.getInt32(from + i));
    into.setUint16(size, view.getUint16(at + PATH_PORT_OFFSET));
  }

  transport(path: number): Transport {
    return this.view.getUint8(path * PATH_SLOT_SIZE + PATH_TRANSPORT_OFFSET) as Transport;
  }

  /** The far end, to be kept by value. */
  socketAddress(path: number): SocketAddress {
    return { address: this.address(path), port: this.port(path) };
  }

  /** Whether two paths lead to the same address and port, from wherever and by whatever transport. */
  isSameEnd(one: number, other: number): boolean {
    const { view } = this;
    const [a, b] = [one * PATH_SLOT_SIZE, other * PATH_SLOT_SIZE];
    for (let i = 0; i < PATH_SOURCE_OFFSET; i += 4) {
      if (view.getInt32(a + i) !== view.getInt32(b + i)) return false;
    }
    return true;
  }
}
