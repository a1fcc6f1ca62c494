/**
 * Local connection: one end of a stream socket, whose other end is bounded in time. Who asks nothing, or does not take
 * what it has asked for, is closed, so that nobody holds what others need by doing nothing.
 */
import type { Socket } from "node:net";
import { guarded } from "../process/guard.ts";

/** ms until a request has come whole, since the connection began or the last one was answered. */
const IDLE_LIMIT = 30_000;
/** ms until the other end has taken enough of what is for it. A capture that nobody reads any more ends by that. */
const SEND_LIMIT = 30_000;

export class LocalConnection {
  /** Called when it begins to answer, and when it waits again. */
  onBusy: (isBusy: boolean) => void = () => {};
  readonly socket: Socket;
  /** The user at the other end. */
  readonly user: number;
  #isBusy = false;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, user: number) {
    this.socket = socket;
    this.user = user;
    this.onClose(() => clearTimeout(this.#idle));
    this.#await();
  }

  /** Whether it answers a request, which takes as long as it takes. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  set isBusy(isBusy: boolean) {
    if (isBusy === this.#isBusy) return;
    this.#isBusy = isBusy;
    if (isBusy) clearTimeout(this.#idle);
    else this.#await();
    this.onBusy(isBusy);
  }

  /** Hands over what comes. */
  onData(handler: (chunk: Uint8Array) => void): void {
    this.socket.on("data", guarded("control", "serving a local connection", handler));
  }

  /** Says that nothing more will come; what was asked is answered all the same. */
  onEnd(handler: () => void): void {
    this.socket.on("end", guarded("control", "serving a local connection", handler));
  }

  /** Says that it is closed. */
  onClose(handler: () => void): void {
    this.socket.on("close", guarded("control", "closing a local connection", handler));
  }

  /** Resolves when the other end has taken it, or enough of what was before, or is gone. */
  async send(text: string): Promise<void> {
    const { socket } = this;
    if (socket.destroyed || socket.write(text)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = guarded("control", "waiting for buffer space", () => {
      clearTimeout(late);
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    });
    const late = setTimeout(
      guarded("control", "closing a connection whose client does not read", () => this.close()),
      SEND_LIMIT,
    );
    socket.on("drain", done);
    socket.on("close", done);
    await promise;
  }

  close(): void {
    this.socket.destroy();
  }

  #await(): void {
    if (this.socket.destroyed) return;
    this.#idle = setTimeout(
      guarded("control", "closing a silent connection", () => this.close()),
      IDLE_LIMIT,
    );
  }
}
