/**
 * Elsewhere: where this is one of several gateways that answer under one key, what is another's: its indices name it,
 * and a message under one of them is handed over to it.
 */
import type { Memory } from "../wire/memory.ts";
import {
  COOKIE_REPLY_RECEIVER_OFFSET,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  RESPONSE_RECEIVER_OFFSET,
  TRANSPORT_RECEIVER_OFFSET,
} from "../wire/messages.ts";
import type { IndexLayout } from "./handshake/index_layout.ts";

/** Hands the message that begins at `offset` to the gateway with this number; false where there is no way to it. */
export type HandToGateway = (
  gateway: number,
  offset: number,
  length: number,
  path: number,
) => boolean;

export class Elsewhere {
  /** Null until this gateway has its number: what it makes up before names any gateway. */
  layout: IndexLayout | null = null;
  readonly #view: DataView;
  readonly #handOver: HandToGateway;

  constructor(memory: Memory, handOver: HandToGateway) {
    this.#view = memory.view;
    this.#handOver = handOver;
  }

  /** An index for this gateway, of 32 random bits; the lowest four, the worker's, are kept. */
  index(random: number): number {
    return this.layout === null ? random : this.layout.index(random);
  }

  /**
   * Takes a message, of another type than 1, whose receiver index names nothing here.
   *
   * @returns false where it is nobody's
   */
  take(type: number, offset: number, length: number, path: number): boolean {
    const { layout } = this;
    if (layout === null) return false;
    const at = type === MESSAGE_TRANSPORT
      ? TRANSPORT_RECEIVER_OFFSET
      : type === MESSAGE_RESPONSE
      ? RESPONSE_RECEIVER_OFFSET
      : COOKIE_REPLY_RECEIVER_OFFSET;
    const gateway = layout.gatewayOf(this.#view.getInt32(offset + at, true));
    return gateway !== layout.gateway && this.#handOver(gateway, offset, length, path);
  }
}
