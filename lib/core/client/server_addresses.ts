/** Server addresses: those of one name, in the order in which they are tried. */
import type { HostAddress } from "../wire/host_address.ts";

export class ServerAddresses {
  /** The one in use. */
  current: HostAddress;
  #all: readonly HostAddress[];
  /** The one that answered last. */
  #worked: HostAddress;

  /** @param addresses at least one */
  constructor(addresses: readonly HostAddress[]) {
    this.#all = addresses;
    this.current = this.#worked = addresses[0]!;
  }

  /** The one that answered last comes first, as long as the name still has it. */
  get all(): readonly HostAddress[] {
    return this.#all;
  }

  /** An answer came from there. It may be late, from an address that was tried before the current one. */
  answered(address: HostAddress): void {
    if (!this.#all.includes(address)) return;
    this.current = this.#worked = address;
    this.lookedUp(this.#all);
  }

  /** The name has these now. The address that answered last is the last resort if it is not among them. */
  lookedUp(addresses: readonly HostAddress[]): void {
    const others = addresses.filter((address) => address !== this.#worked);
    this.#all = others.length < addresses.length
      ? [this.#worked, ...others]
      : [...others, this.#worked];
  }
}
