/**
 * Fleet flows: connections through the NAT go on when the virtual address moves. Who has the address tells the others
 * of each flow that is older than a second, and of all again every few seconds, as messages may be lost and each may
 * be the next holder; who gets the address goes on with what it knows, before the clients are back.
 *
 * Ports need no division among the gateways: only who has the address translates to it, so that two can give one port
 * to two flows only for as long as both believe to have it, and those of the one that loses are reset.
 */
import type { FlowRecord } from "../nat/replicas/flow_record.ts";
import type { ReplicatedFlows } from "../nat/replicas/replicated_flows.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import { FlowBatchWriter, isFlowBatch, readFlowBatch } from "./flow_batch.ts";
import { FlowReplicas } from "./flow_replicas.ts";

/** ms between looks at what is to be told, and within which all is told again. */
const TELL_INTERVAL = 100;
const ROUND = 10_000;
/** ms that a flow goes on before it is told of: most are over by then. */
const LEAST_AGE = 1_000;
/** Told again in one look, also where a gateway has just come: 1.1 MB a second at the most, to each gateway. */
const MOST_AT_ONCE = 5_520;
/** ms for which the last words of the holder before this one may be under way. */
const LAST_WORDS = 5_000;

type Session = Parameters<ReplicatedFlows["describe"]>[0];

export interface FleetFlowsOptions {
  /** Null where no NAT of IPv4 is in this thread. */
  readonly nat: () => ReplicatedFlows | null;
  /** Tells a gateway (its number), or all others. */
  readonly tell: (message: Uint8Array, to?: number) => void;
  readonly drops: Pick<DropCounters, "add">;
  /** Secret and random, a uint32. */
  readonly seed: number;
}

/** What has become of another gateway's flows. */
export interface FlowsTakenOver {
  readonly kept: number;
  /** Their ports are taken, or their clients gone or without room for more. */
  readonly lost: number;
}

export class FleetFlows {
  readonly #options: FleetFlowsOptions;
  #isDraining = false;
  readonly #replicas: FlowReplicas;
  readonly #writer = new FlowBatchWriter();
  /** Monotonic ms; null while the address is not here. */
  #heldSince: number | null = null;
  #tellAt = Infinity;
  /** Flows that a gateway which has come is still to be told of. */
  #awaited = 0;
  /** For gateways that have come, what others have told this one; the last record first. */
  readonly #retold = new Map<number, FlowRecord[]>();
  #now = 0;
  readonly #write = (session: Session) => {
    this.#writer.add(this.#options.nat()!.describe(session, this.#now));
    if (this.#writer.isFull) this.#send();
  };

  constructor(options: FleetFlowsOptions) {
    this.#options = options;
    this.#replicas = new FlowReplicas(options.seed);
  }

  /** Another gateway is to have the address: from now on the youngest flows are told of as well. Or no longer. */
  setDraining(isDraining: boolean, now: number): void {
    this.#isDraining = isDraining;
    if (this.#heldSince === null) return;
    this.#tellAt = now;
    this.poll(now);
  }

  /**
   * A gateway has come, which knows of nothing yet, and may be the only one to go on: who has the address may be
   * stopped next, or die before it has told.
   */
  gatewayUp(gateway: number, now: number): void {
    if (this.#heldSince !== null) {
      this.#awaited = this.#options.nat()?.ledger.toldSize ?? 0;
      this.#tellAt = now;
      return;
    }
    const records = this.#replicas.current(now);
    if (records.length === 0) return;
    this.#retold.set(gateway, records.reverse());
    this.#tellAt = now;
  }

  /** A gateway is gone. */
  gatewayDown(gateway: number): void {
    this.#retold.delete(gateway);
  }

  /** Takes a message of another gateway; false where it is not about flows. */
  take(message: Uint8Array, now: number): boolean {
    if (!isFlowBatch(message)) return false;
    const records = readFlowBatch(message);
    const since = this.#heldSince;
    // Who has the address itself is told of no flows, but for the last words of the one before.
    if (records === null || since !== null && now >= since + LAST_WORDS) {
      this.#options.drops.add(DropReason.badFleetMessage, message.length);
      return true;
    }
    for (const record of records) {
      this.#replicas.put(record, now);
      if (since !== null) this.#options.nat()?.adopt(record, now);
    }
    return true;
  }

  /** The virtual address is here, and is the NAT's. */
  hold(now: number): FlowsTakenOver {
    this.#heldSince = now;
    this.#tellAt = now + TELL_INTERVAL;
    const nat = this.#options.nat();
    if (nat === null) return { kept: 0, lost: 0 };
    nat.begin(now);
    const records = this.#replicas.current(now);
    const kept = records.filter((record) => nat.adopt(record, now)).length;
    return { kept, lost: records.length - kept };
  }

  /** The virtual address is not here any more. What is known of its flows is of use when it comes back. */
  giveUp(now: number): void {
    const nat = this.#options.nat();
    const wasHeld = this.#heldSince !== null;
    const awaited = this.#awaited;
    this.#heldSince = null;
    this.#awaited = 0;
    this.#tellAt = Infinity;
    if (!wasHeld || nat === null) return;
    this.#now = now;
    nat.ledger.takeAgain(awaited, this.#write);
    nat.ledger.takeYoung(0, now, this.#write);
    this.#send();
    const own: FlowRecord[] = [];
    nat.ledger.takeAgain(nat.ledger.toldSize, (session) => {
      own.push({ ...nat.describe(session, now) });
    });
    for (const record of own) this.#replicas.put(record, now);
    nat.end(now);
  }

  /** When there is something to do, monotonic ms. */
  pollAt(): number {
    return this.#tellAt;
  }

  poll(now: number): void {
    if (now < this.#tellAt) return;
    this.#retell();
    const isHeld = this.#heldSince !== null;
    this.#tellAt = isHeld || this.#retold.size > 0 ? now + TELL_INTERVAL : Infinity;
    const nat = this.#options.nat();
    if (nat === null || !isHeld) return;
    this.#now = now;
    const { ledger } = nat;
    ledger.takeYoung(this.#isDraining ? 0 : LEAST_AGE, now, this.#write);
    const share = Math.ceil(ledger.toldSize * TELL_INTERVAL / ROUND);
    const count = Math.min(Math.max(share, this.#awaited), MOST_AT_ONCE);
    this.#awaited = Math.max(0, this.#awaited - count);
    ledger.takeAgain(count, this.#write);
    this.#send();
  }

  #retell(): void {
    for (const [gateway, records] of this.#retold) {
      for (let count = 0; count < MOST_AT_ONCE && records.length > 0;) {
        while (!this.#writer.isFull && records.length > 0) {
          this.#writer.add(records.pop()!);
          count++;
        }
        this.#options.tell(this.#writer.take(), gateway);
      }
      if (records.length === 0) this.#retold.delete(gateway);
    }
  }

  #send(): void {
    if (!this.#writer.isEmpty) this.#options.tell(this.#writer.take());
  }
}
