/** Peer endpoint: where a peer is, and how datagrams travel there and back. */
import type { HostAddress } from "../wire/host_address.ts";
import type { SocketAddress } from "../wire/socket_address.ts";
import { NO_PATH, type Paths } from "./paths.ts";
import { Transport } from "./transport.ts";

/** Where a peer was last seen: a path of the table, which is held for as long as the peer is there. */
export class PeerEndpoint {
  /** How often it has moved; an int32 that wraps around. The number of a path may come to be another path's. */
  moves = 0;
  readonly #paths: Paths;
  #path: number = NO_PATH;
  #transport: Transport = Transport.udp;
  readonly #onMove: () => void;

  /** @param onMove called before each move */
  constructor(paths: Paths, onMove: () => void = () => {}) {
    this.#paths = paths;
    this.#onMove = onMove;
  }

  /** `NO_PATH` where the endpoint is not known. */
  get path(): number {
    return this.#path;
  }

  get address(): HostAddress {
    return this.#paths.address(this.#path);
  }

  /** 0 where the endpoint is not known. */
  get port(): number {
    return this.#paths.port(this.#path);
  }

  /** Whether the address is one of IPv6; costs less than to ask for it. */
  get isIpv6(): boolean {
    return this.#paths.isIpv6(this.#path);
  }

  /** The address as an int32 by which endpoints are told apart, see `Paths`. */
  get addressKey(): number {
    return this.#paths.addressKey(this.#path);
  }

  /** Our own address that the peer writes to, as an int32, see `Paths`; 0 lets the kernel choose. */
  get sourceDigest(): number {
    return this.#paths.sourceDigest(this.#path);
  }

  /** The transport, which is chosen even where the endpoint is not known. */
  get transport(): Transport {
    return this.#transport;
  }

  /** The peer is there now. */
  moveTo(path: number): void {
    if (path === this.#path) return;
    this.#onMove();
    this.#paths.retain(path);
    this.#paths.release(this.#path);
    this.#path = path;
    this.moves = (this.moves + 1) | 0;
    if (path !== NO_PATH) this.#transport = this.#paths.transport(path);
  }

  /** The peer is to be found at this address, by the same transport; null where that is not known. */
  set(end: SocketAddress | null): void {
    this.moveTo(end === null ? NO_PATH : this.#paths.internEnd(end, this.#transport));
  }

  /** Reaches the peer by this transport from now on. */
  setTransport(transport: Transport): void {
    if (transport === this.#transport) return;
    this.#transport = transport;
    if (this.#path !== NO_PATH) this.moveTo(this.#paths.withTransport(this.#path, transport));
  }

  /** Leaves our own address to the kernel again. */
  forgetSource(): void {
    if (this.sourceDigest !== 0) {
      this.moveTo(this.#paths.withTransport(this.#path, this.#transport));
    }
  }
}
