/**
 * Mesh machine: one gateway among those of its fleet, without clock, timers or I/O. What arrives and the time go in,
 * what is to be sent and done comes out: which gateways are there (liveness.ts), and who has the virtual address
 * (address_holder.ts).
 */
import { AddressHolder, type HolderAction } from "./address_holder.ts";
import { FleetClock } from "./fleet_clock.ts";
import type { GatewayHeartbeat } from "./heartbeat.ts";
import { KnownTerm } from "./known_term.ts";
import { HEARTBEAT_INTERVAL, Liveness } from "./liveness.ts";
import type { TermEntry } from "./term_entry.ts";

/** ms between heartbeats at once, of what changes: each gateway's may be the reason for another's. */
const MIN_INTERVAL = 10;

export interface MeshMachineOptions {
  /** This gateway's number. */
  readonly self: number;
  /** The numbers of all gateways, this one included. */
  readonly members: readonly number[];
  /** Drawn at random at each start, a uint32. */
  readonly generation: number;
  /** A hash of what the fleet has in common, such as its public key, a uint32: with it, weights differ by fleet. */
  readonly addressKey: number;
  /** It takes nothing that another can have, until it is asked to: one that comes back begins so. */
  readonly isDraining: boolean;
}

export type MeshEvent =
  | { readonly kind: "members"; readonly members: readonly number[] }
  | { readonly kind: "heartbeat"; readonly from: number; readonly heartbeat: GatewayHeartbeat }
  | { readonly kind: "store"; readonly isReached: boolean }
  /** The store's entry as it is: at the start, when it changes, before the answer to a write that was too late. */
  | { readonly kind: "term-entry"; readonly entry: TermEntry | null; readonly revision: number }
  /** Null: another has written it, or it is not known whether it is written. */
  | { readonly kind: "term-written"; readonly id: number; readonly revision: number | null }
  | { readonly kind: "drain" }
  | { readonly kind: "rebalance" }
  | { readonly kind: "time" };

export type MeshAction =
  | HolderAction
  | { readonly kind: "send"; readonly to: number; readonly heartbeat: GatewayHeartbeat }
  | { readonly kind: "gateway-up"; readonly gateway: number }
  | { readonly kind: "gateway-down"; readonly gateway: number };

/** Another gateway, for those who ask how things are. */
export interface GatewayState {
  readonly gateway: number;
  readonly isUp: boolean;
  readonly isDraining: boolean;
  readonly reachesStore: boolean;
  /** ms by which its clock is ahead of ours, and by which the way here makes it seem behind. Null before its first. */
  readonly skew: number | null;
}

export interface MeshState {
  readonly holder: number | null;
  readonly term: number;
  readonly holds: boolean;
  readonly isDraining: boolean;
  /** Whether the others could not go on if it ended now. */
  readonly isNeeded: boolean;
  /** Whether it has the address, or is heard by the gateway that has it, which so may hand over to it. */
  readonly isKnown: boolean;
  readonly reachesStore: boolean;
  readonly gateways: readonly GatewayState[];
}

export class MeshMachine {
  readonly #self: number;
  readonly #generation: number;
  readonly #liveness = new Liveness();
  readonly #known: KnownTerm;
  readonly #holder: AddressHolder;
  readonly #clock = new FleetClock();
  #others: readonly number[] = [];
  #sequence = 0;
  #beatsAt: number;
  #sentAt = -Infinity;
  /** What the last heartbeat to all has said, as far as others wait for it. */
  #said = "";
  #actions: MeshAction[] = [];
  /** The caller's time. */
  #now: number;
  #unixTime = 0;

  constructor(options: MeshMachineOptions, now: number) {
    const { self, addressKey, isDraining } = options;
    this.#self = self;
    this.#generation = options.generation;
    this.#known = new KnownTerm(self, addressKey);
    this.#holder = new AddressHolder(
      { self, addressKey, isDraining, known: this.#known, liveness: this.#liveness },
      now,
    );
    this.#now = this.#beatsAt = now;
    this.#setMembers(options.members);
  }

  /** When `time` is to be told, monotonic ms. */
  get dueAt(): number {
    const soon = this.#isUnsaid ? this.#sentAt + MIN_INTERVAL : Infinity;
    return Math.min(this.#beatsAt, this.#liveness.dueAt, this.#holder.dueAt, soon);
  }

  get state(): MeshState {
    return {
      holder: this.#known.holder,
      term: this.#known.term,
      holds: this.#holder.holds,
      isDraining: this.#holder.isDraining,
      isNeeded: this.#holder.isNeeded,
      isKnown: this.#isKnown,
      reachesStore: this.#holder.reachesStore,
      gateways: Array.from(this.#liveness.remotes, ({ gateway, isUp, heartbeat }) => ({
        gateway,
        isUp,
        isDraining: heartbeat?.isDraining ?? false,
        reachesStore: isUp && (heartbeat?.reachesStore ?? false),
        skew: this.#clock.skewOf(gateway),
      })),
    };
  }

  get #isKnown(): boolean {
    if (this.#holder.holds) return true;
    const { holder } = this.#known;
    const remote = holder === null ? null : this.#liveness.remote(holder);
    if (remote === null || !remote.isUp || remote.heartbeat === null) return false;
    return remote.heartbeat.holds && remote.heartbeat.hears.has(this.#self);
  }

  /** The least time that the next initiation may carry, Unix ms: peers refuse what is not later than the last. */
  fleetTime(now: number, unixTime: number): number {
    return this.#clock.time(now, unixTime);
  }

  /**
   * Takes an event in.
   *
   * @param now monotonic ms
   * @param unixTime this host's clock, Unix ms
   * @returns what is to be done, in this order
   */
  take(event: MeshEvent, now: number, unixTime: number): readonly MeshAction[] {
    this.#actions = [];
    this.#now = now;
    this.#unixTime = unixTime;
    switch (event.kind) {
      case "members":
        this.#setMembers(event.members);
        break;
      case "heartbeat":
        this.#heard(event.from, event.heartbeat);
        break;
      case "store":
        this.#holder.storeReached(event.isReached);
        break;
      case "term-entry":
        this.#holder.termEntry(event.entry, event.revision, now);
        break;
      case "term-written":
        this.#actions.push(...this.#holder.termWritten(event.id, event.revision, now));
        break;
      case "drain":
        this.#holder.isDraining = true;
        break;
      case "rebalance":
        this.#holder.isDraining = false;
        break;
      case "time":
        this.#lookAfterOthers();
        break;
    }
    this.#actions.push(...this.#holder.decide(now));
    this.#speak();
    return this.#actions;
  }

  #setMembers(members: readonly number[]): void {
    this.#others = members.filter((gateway) => gateway !== this.#self);
    this.#holder.setGateways([this.#self, ...this.#others]);
    for (const gateway of this.#liveness.setGateways(this.#others, this.#now)) {
      this.#actions.push({ kind: "gateway-down", gateway });
    }
  }

  #heard(from: number, heartbeat: GatewayHeartbeat): void {
    const heard = this.#liveness.received(from, heartbeat, this.#now);
    if (heard === null) return;
    if (heard === "up") this.#actions.push({ kind: "gateway-up", gateway: from });
    this.#known.heard(from, heartbeat);
    this.#clock.heard(from, heartbeat, this.#now, this.#unixTime);
    if (heartbeat.asks) {
      this.#actions.push({ kind: "send", to: from, heartbeat: this.#heartbeat(false) });
    }
  }

  #lookAfterOthers(): void {
    const { ask, dead } = this.#liveness.due(this.#now);
    for (const gateway of dead) this.#actions.push({ kind: "gateway-down", gateway });
    for (const to of ask) {
      this.#actions.push({ kind: "send", to, heartbeat: this.#heartbeat(true) });
    }
  }

  /** A heartbeat to all: when it is time, and when something has changed that others wait for. */
  #speak(): void {
    const isTime = this.#now >= this.#beatsAt;
    if (!isTime && !(this.#isUnsaid && this.#now >= this.#sentAt + MIN_INTERVAL)) return;
    if (isTime) {
      this.#beatsAt += HEARTBEAT_INTERVAL;
      // After a pause of this process, there is no use in those that are missing.
      if (this.#beatsAt <= this.#now) this.#beatsAt = this.#now + HEARTBEAT_INTERVAL;
    }
    this.#sentAt = this.#now;
    this.#said = this.#saying;
    const heartbeat = this.#heartbeat(false);
    for (const to of this.#others) this.#actions.push({ kind: "send", to, heartbeat });
  }

  get #isUnsaid(): boolean {
    return this.#others.length > 0 && this.#said !== this.#saying;
  }

  get #saying(): string {
    const { holds, vote, isDraining } = this.#holder;
    const { term, holder, needsStore } = this.#known;
    return [holds, vote, isDraining, term, holder, needsStore].join();
  }

  #heartbeat(asks: boolean): GatewayHeartbeat {
    const { holds, vote, isDraining, reachesStore } = this.#holder;
    const { term, holder, needsStore } = this.#known;
    return {
      generation: this.#generation,
      sequence: ++this.#sequence,
      asks,
      reachesStore,
      isDraining,
      holds,
      vote,
      term,
      holder,
      needsStore,
      clock: this.#unixTime,
      fleetTime: this.fleetTime(this.#now, this.#unixTime),
      hears: this.#liveness.heard,
      voters: this.#known.voters,
    };
  }
}
