/**
 * Connection shares: how many connections there may be at once, and who loses one for a newcomer: the one with most
 * from one address, and of those the oldest that asks nothing. So no client keeps the others from the metrics.
 */
import type { Socket } from "node:net";
import { FairShares, type Place } from "../../core/limits/fair_shares.ts";
import { guarded } from "../../process/guard.ts";

const MAX_CONNECTIONS = 16;

export class ConnectionShares {
  readonly #places = new Map<Socket, Place<string, Socket>>();
  readonly #shares = new FairShares<string, Socket>({
    capacity: MAX_CONNECTIONS,
    evict: (socket) => {
      this.#places.delete(socket);
      socket.destroy();
    },
  });

  /** Takes a connection, or closes it where there is no place for it. */
  add(socket: Socket): void {
    socket.on("close", guarded("control", "closing a connection", () => this.#remove(socket)));
    this.#place(socket);
  }

  /** A request has come whole and is being answered. */
  begin(socket: Socket): void {
    const place = this.#places.get(socket);
    if (place !== undefined) this.#shares.prove(place);
  }

  /** It is answered: the connection is like a new one again. */
  end(socket: Socket): void {
    if (!this.#places.has(socket)) return;
    this.#remove(socket);
    this.#place(socket);
  }

  #place(socket: Socket): void {
    const place = this.#shares.add(socket.remoteAddress ?? "", socket);
    if (place === null) socket.destroy();
    else this.#places.set(socket, place);
  }

  #remove(socket: Socket): void {
    const place = this.#places.get(socket);
    if (place === undefined) return;
    this.#places.delete(socket);
    this.#shares.remove(place);
  }
}
