/** Path limits: packets too long for the path to a client are refused, and TCP's ends are told to send none. */
import * as tcp from "../wire/tcp.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Headers } from "./headers/headers.ts";
import type { NatLink } from "./link.ts";
import type { Mapping } from "./records.ts";
import { clampMss } from "./rewrite.ts";

export class PathLimits {
  readonly #view: DataView;
  readonly #headers: Headers;
  readonly #inside: NatLink;
  readonly #forwarder: Forwarder;
  readonly #mtuOf: (address: number) => number;

  /** @param mtuOf the MTU of the path to a client, by its inner address */
  constructor(
    view: DataView,
    options: {
      readonly headers: Headers;
      readonly inside: NatLink;
      readonly forwarder: Forwarder;
      readonly mtuOf: (address: number) => number;
    },
  ) {
    this.#view = view;
    this.#headers = options.headers;
    this.#inside = options.inside;
    this.#forwarder = options.forwarder;
    this.#mtuOf = options.mtuOf;
  }

  /** Refuses a packet from link `from` that is too long for the path to the client. */
  refuseTooLong(
    packet: number,
    length: number,
    { innerAddress }: Mapping,
    from: NatLink,
    now: number,
  ): boolean {
    if (length <= this.#headers.minPathMtu) return false;
    // Of IPv6, nobody may be told of less than what every link of it has to take (RFC 8200 section 5).
    const mtu = Math.max(this.#mtuOf(innerAddress), this.#headers.minPathMtu);
    return length > mtu && this.#forwarder.refuseForPath(packet, mtu, from, now);
  }

  /** Keeps a client and whom it talks to from segments that the path to the client does not take. */
  clampMss(segment: number, { innerAddress }: Mapping): void {
    if ((tcp.flags(this.#view, segment) & tcp.FLAG_SYN) === 0) return;
    const mtu = Math.min(this.#inside.mtu, this.#mtuOf(innerAddress));
    clampMss(this.#view, segment, mtu - this.#headers.mssOverhead);
  }
}
