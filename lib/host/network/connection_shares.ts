/**
 * Connection shares: how many connections a service may have at once, and who loses one for a newcomer: the one with
 * most from one address, or of IPv6 from one customer's network, and of those the oldest that asks nothing. So no
 * client keeps the others out.
 */
import type { Socket } from "node:net";
import { FairShares, type Place } from "../../core/limits/fair_shares.ts";
import { sourceKey } from "../../core/wire/source_key.ts";
import { guarded } from "../../process/guard.ts";

/**
 * Requests of a connection that are not answered whole. No browser, proxy or Prometheus sends the next one before the
 * answer; who does, and reads no answer, would have thousands in a packet worked on at once, and their answers kept.
 * One more, as the end of an answer may be seen late here.
 */
const UNANSWERED = 2;

/** An answer, which says when all of it is sent, or nobody wants it any more. */
interface Answer {
  once(event: "close", handler: () => void): unknown;
}

export class ConnectionShares {
  readonly #unanswered = new WeakMap<Socket, number>();
  /** By address and port of the other end: TLS has another object for the same connection. */
  readonly #places = new Map<string, Place<string, Socket>>();
  readonly #shares: FairShares<string, Socket>;

  /** @param capacity connections at once */
  constructor(capacity: number) {
    this.#shares = new FairShares({
      capacity,
      evict: (socket) => {
        this.#places.delete(keyOf(socket));
        socket.destroy();
      },
    });
  }

  /** Takes a connection, or closes it where there is no place for it. */
  add(socket: Socket): void {
    // A socket that has closed does not know its other end any more.
    const key = keyOf(socket);
    socket.on("close", guarded("control", "closing a connection", () => this.#remove(key)));
    this.#place(key, socket);
  }

  /**
   * A request has come whole, to be answered by this.
   *
   * @returns false where the connection asks without waiting for answers, and is closed
   */
  begin(socket: Socket, response: Answer): boolean {
    const count = (this.#unanswered.get(socket) ?? 0) + 1;
    if (count > UNANSWERED) {
      socket.destroy();
      return false;
    }
    this.#unanswered.set(socket, count);
    response.once(
      "close",
      guarded("control", "ending an answer", () => {
        this.#unanswered.set(socket, this.#unanswered.get(socket)! - 1);
      }),
    );
    const place = this.#places.get(keyOf(socket));
    if (place !== undefined) this.#shares.prove(place);
    return true;
  }

  /** It is answered: the connection is like a new one again. */
  end(socket: Socket): void {
    const key = keyOf(socket);
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#remove(key);
    this.#place(key, place.item);
  }

  #place(key: string, socket: Socket): void {
    const place = this.#shares.add(sourceKey(socket.remoteAddress ?? ""), socket);
    if (place === null) socket.destroy();
    else this.#places.set(key, place);
  }

  #remove(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    this.#shares.remove(place);
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
