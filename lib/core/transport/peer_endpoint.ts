/** Peer endpoint: where a peer is, and how datagrams travel there and back. */
import type { SocketAddress } from "../wire/socket_address.ts";
import { NO_PATH, type Paths } from "./paths.ts";
import { Transport } from "./transport.ts";

/** Where a peer was last seen: a path of the table, which is held for as long as the peer is there. */
export class PeerEndpoint {
  readonly #paths: Paths;
  #path: number = NO_PATH;
  #transport: Transport = Transport.udp;

  constructor(paths: Paths) {
    this.#paths = paths;
  }

  /** `NO_PATH` where the endpoint is not known. */
  get path(): number {
    return this.#path;
  }

  /** IPv4 address, host order. */
  get address(): number {
    return this.#paths.address(this.#path);
  }

  /** 0 where the endpoint is not known. */
  get port(): number {
    return this.#paths.port(this.#path);
  }

  /** Our own address that the peer writes to; 0 lets the kernel choose. */
  get source(): number {
    return this.#paths.source(this.#path);
  }

  /** The transport, which is chosen even where the endpoint is not known. */
  get transport(): Transport {
    return this.#transport;
  }

  /** The peer is there now. */
  moveTo(path: number): void {
    if (path === this.#path) return;
    this.#paths.retain(path);
    this.#paths.release(this.#path);
    this.#path = path;
    if (path !== NO_PATH) this.#transport = this.#paths.transport(path);
  }

  /** The peer is to be found at this address, by the same transport; null where that is not known. */
  set(end: SocketAddress | null): void {
    this.moveTo(
      end === null ? NO_PATH : this.#paths.intern(end.address, end.port, 0, this.#transport),
    );
  }

  /** Reaches the peer by this transport from now on. */
  setTransport(transport: Transport): void {
    if (transport === this.#transport) return;
    this.#transport = transport;
    if (this.#path !== NO_PATH) this.moveTo(this.#paths.withTransport(this.#path, transport));
  }

  /** Leaves our own address to the kernel again. */
  forgetSource(): void {
    if (this.source !== 0) this.moveTo(this.#paths.withTransport(this.#path, this.#transport));
  }
}
