/**
 * Simulated mesh: gateways of a fleet with their links and the store, on a fake clock. Links and the ways to the store
 * are cut and restored, messages are late and lost, gateways are killed; who holds the virtual address is recorded.
 */
import { decodeHeartbeat, encodeHeartbeat } from "../../../lib/core/fleet/mesh/heartbeat.ts";
import {
  type MeshAction,
  type MeshEvent,
  MeshMachine,
} from "../../../lib/core/fleet/mesh/mesh_machine.ts";
import type { TermEntry } from "../../../lib/core/fleet/mesh/term_entry.ts";
import type { Random } from "../random.ts";
import { Schedule } from "../time/schedule.ts";

/** Unix ms at the simulation's monotonic 0. */
const EPOCH = 1_700_000_000_000;
/** ms until a host has noticed that the store is not there, and gives a write up. */
const STORE_TIMEOUT = 900;

export interface SimulatedMeshOptions {
  readonly gateways: number;
  readonly random: Random;
  /** Of heartbeats, 0 to 1. */
  readonly loss?: number;
  /** ms that a message is under way at the most. */
  readonly delay?: number;
  /** Whether the store is there at the start. */
  readonly hasStore?: boolean;
  readonly onAction?: (gateway: number, action: MeshAction, now: number) => void;
}

/** What a gateway is while it runs. */
interface Running {
  readonly machine: MeshMachine;
  wakesAt: number;
  holds: boolean;
}

export class SimulatedMesh {
  now = 1_000_000;
  /** ms for which two or more have held the address at the most, and for which none has. */
  longestOverlap = 0;
  longestGap = 0;
  /** How often the address was taken. */
  takings = 0;
  readonly #options: SimulatedMeshOptions;
  readonly #schedule = new Schedule<() => void>();
  readonly #running: (Running | null)[];
  /** Links from one gateway to another that are cut, as `from * 256 + to`. */
  readonly #cut = new Set<number>();
  readonly #cutFromStore = new Set<number>();
  #entry: TermEntry | null = null;
  #revision = 0;
  #overlapsSince: number | null = null;
  #gapSince: number | null = null;

  constructor(options: SimulatedMeshOptions) {
    this.#options = options;
    this.#running = new Array(options.gateways).fill(null);
    if (options.hasStore === false) this.numbers.forEach((each) => this.#cutFromStore.add(each));
    this.#record();
    for (const gateway of this.numbers) this.start(gateway);
  }

  get numbers(): readonly number[] {
    return Array.from(this.#running, (_, number) => number);
  }

  get alive(): readonly number[] {
    return this.numbers.filter((gateway) => this.#running[gateway] !== null);
  }

  /** Unix ms that a gateway's next initiation carries. */
  fleetTime(gateway: number): number {
    return this.machine(gateway).fleetTime(this.now, EPOCH + this.now);
  }

  get holders(): readonly number[] {
    return this.numbers.filter((gateway) => this.#running[gateway]?.holds);
  }

  machine(gateway: number): MeshMachine {
    return this.#running[gateway]!.machine;
  }

  start(gateway: number, isDraining = false): void {
    const machine = new MeshMachine({
      self: gateway,
      members: this.numbers,
      generation: this.#options.random.uint32(),
      addressKey: 1,
      isDraining,
    }, this.now);
    this.#running[gateway] = { machine, wakesAt: Infinity, holds: false };
    this.#take(gateway, { kind: "time" });
    this.#reachStore(gateway);
  }

  kill(gateway: number): void {
    this.#running[gateway] = null;
    this.#record();
  }

  tell(gateway: number, event: MeshEvent): void {
    this.#take(gateway, event);
  }

  cut(from: number, to: number): void {
    this.#cut.add(from * 256 + to);
  }

  cutBoth(one: number, other: number): void {
    this.cut(one, other);
    this.cut(other, one);
  }

  /** Cuts all links between gateways that are in different groups. */
  partition(...groups: readonly (readonly number[])[]): void {
    for (const group of groups) {
      for (const one of group) {
        for (const other of this.numbers) if (!group.includes(other)) this.cutBoth(one, other);
      }
    }
  }

  heal(): void {
    this.#cut.clear();
  }

  cutStore(...gateways: readonly number[]): void {
    for (const gateway of gateways) {
      this.#cutFromStore.add(gateway);
      this.after(this.#options.random.between(1, STORE_TIMEOUT), () => {
        if (this.#cutFromStore.has(gateway)) {
          this.#take(gateway, { kind: "store", isReached: false });
        }
      });
    }
  }

  healStore(...gateways: readonly number[]): void {
    for (const gateway of gateways) {
      if (this.#cutFromStore.delete(gateway)) {
        this.after(this.#options.random.between(1, 500), () => this.#reachStore(gateway));
      }
    }
  }

  /** Lets time pass, and stops early where that is so. */
  run(ms: number, until: () => boolean = () => false): boolean {
    const end = this.now + ms;
    while (!until()) {
      const next = this.#schedule.nextAt;
      if (next > end) {
        this.now = end;
        this.#record();
        return until();
      }
      this.now = Math.max(this.now, next);
      this.#schedule.take(this.now)!();
    }
    return true;
  }

  #take(gateway: number, event: MeshEvent): void {
    const running = this.#running[gateway];
    if (running === null) return;
    const { machine } = running!;
    for (const action of machine.take(event, this.now, EPOCH + this.now)) {
      this.#do(gateway, action);
      this.#options.onAction?.(gateway, action, this.now);
    }
    const { dueAt } = machine;
    if (dueAt >= running!.wakesAt) return;
    running!.wakesAt = dueAt;
    // Timers are late at times.
    const lateness = this.#options.random.below(4);
    this.after(Math.max(0, dueAt - this.now) + lateness, () => {
      if (this.#running[gateway] !== running) return;
      running!.wakesAt = Infinity;
      this.#take(gateway, { kind: "time" });
    });
  }

  #do(gateway: number, action: MeshAction): void {
    switch (action.kind) {
      case "send":
        this.#send(gateway, action.to, encodeHeartbeat(action.heartbeat));
        break;
      case "write-term":
        this.#write(gateway, action);
        break;
      case "take-address":
        this.takings++;
        this.#running[gateway]!.holds = true;
        this.#record();
        break;
      case "give-address-up":
        this.#running[gateway]!.holds = false;
        this.#record();
        break;
    }
  }

  #send(from: number, to: number, bytes: Uint8Array): void {
    this.transmit(from, to, () => {
      this.#take(to, { kind: "heartbeat", from, heartbeat: decodeHeartbeat(bytes)! });
    });
  }

  /** Has a message arrive at another gateway, unless it is lost or the link is cut. */
  transmit(from: number, to: number, arrive: () => void): void {
    const { random, loss = 0 } = this.#options;
    if (this.#cut.has(from * 256 + to) || random.chance(loss)) return;
    this.after(this.#delay(), () => {
      if (!this.#cut.has(from * 256 + to) && this.#running[to] !== null) arrive();
    });
  }

  #write(
    gateway: number,
    { id, entry, expected }: Extract<MeshAction, { kind: "write-term" }>,
  ): void {
    const fail = () => this.#take(gateway, { kind: "term-written", id, revision: null });
    const running = this.#running[gateway];
    const answer = (then: () => void) => {
      if (this.#running[gateway] !== running) return;
      if (!this.#cutFromStore.has(gateway)) then();
      else this.after(STORE_TIMEOUT, () => this.#running[gateway] === running && fail());
    };
    this.after(this.#delay(), () => {
      let revision: number | null = null;
      if (!this.#cutFromStore.has(gateway) && expected === this.#revision) {
        revision = ++this.#revision;
        this.#entry = entry;
        for (const each of this.numbers) this.after(this.#delay(), () => this.#tellEntry(each));
      }
      this.after(this.#delay(), () =>
        answer(() => {
          if (revision === null) {
            this.#tellEntry(gateway);
            fail();
          } else this.#take(gateway, { kind: "term-written", id, revision });
        }));
    });
  }

  #reachStore(gateway: number): void {
    if (this.#cutFromStore.has(gateway)) return;
    this.#tellEntry(gateway);
    this.#take(gateway, { kind: "store", isReached: true });
  }

  #tellEntry(gateway: number): void {
    if (this.#cutFromStore.has(gateway)) return;
    this.#take(gateway, { kind: "term-entry", entry: this.#entry, revision: this.#revision });
  }

  #delay(): number {
    return this.#options.random.float() * (this.#options.delay ?? 2);
  }

  after(ms: number, then: () => void): void {
    this.#schedule.add(this.now + ms, then);
  }

  #record(): void {
    const holders = this.holders.length;
    if (this.#overlapsSince !== null) {
      this.longestOverlap = Math.max(this.longestOverlap, this.now - this.#overlapsSince);
    }
    if (holders < 2) this.#overlapsSince = null;
    else this.#overlapsSince ??= this.now;
    if (this.#gapSince !== null) {
      this.longestGap = Math.max(this.longestGap, this.now - this.#gapSince);
    }
    if (holders > 0) this.#gapSince = null;
    else this.#gapSince ??= this.now;
  }
}
