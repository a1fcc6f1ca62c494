/** Network in memory: datagrams go in, and come out late, twice, out of order or not at all, as a seed has it. */
import type { Transport } from "../../../lib/core/transport/transport.ts";
import type { Bytes } from "./packet_builder.ts";
import type { Random } from "../random.ts";
import { Schedule } from "../time/schedule.ts";

/** A UDP datagram under way. Addresses in host order. */
export interface Datagram {
  readonly transport?: Transport;
  readonly bytes: Bytes;
  readonly sourceAddress: number;
  readonly sourcePort: number;
  readonly destinationAddress: number;
  readonly destinationPort: number;
}

/** What the link does to datagrams. Probabilities from 0 to 1, times in ms. */
export interface LinkConditions {
  readonly loss: number;
  readonly duplication: number;
  /** How many datagrams are held up by a random time of up to `holdUp`, so that later ones overtake them. */
  readonly reordering: number;
  readonly holdUp: number;
  readonly latency: number;
}

/** A link that only takes time. */
export const PERFECT_LINK: LinkConditions = {
  loss: 0,
  duplication: 0,
  reordering: 0,
  holdUp: 0,
  latency: 10,
};

export class MemoryLink {
  conditions: LinkConditions;
  /** While true, everything that is sent is lost. */
  isDown = false;
  sent = 0;
  lost = 0;
  duplicated = 0;
  reordered = 0;

  readonly #random: Random;
  readonly #underWay = new Schedule<Datagram>();

  constructor(random: Random, conditions: LinkConditions = PERFECT_LINK) {
    this.#random = random;
    this.conditions = conditions;
  }

  send(datagram: Datagram, now: number): void {
    const { loss, duplication } = this.conditions;
    this.sent++;
    if (this.isDown || this.#random.chance(loss)) {
      this.lost++;
      return;
    }
    this.#deliver(datagram, now);
    if (this.#random.chance(duplication)) {
      this.duplicated++;
      this.#deliver({ ...datagram, bytes: datagram.bytes.slice() }, now);
    }
  }

  /** When the next datagram arrives; `Infinity` when none is under way. */
  get nextAt(): number {
    return this.#underWay.nextAt;
  }

  /** The next datagram that has arrived by `now`, or undefined. */
  receive(now: number): Datagram | undefined {
    return this.#underWay.take(now);
  }

  #deliver(datagram: Datagram, now: number): void {
    const { reordering, holdUp, latency } = this.conditions;
    let at = now + latency;
    if (this.#random.chance(reordering)) {
      this.reordered++;
      at += this.#random.float() * holdUp;
    }
    this.#underWay.add(at, datagram);
  }
}
