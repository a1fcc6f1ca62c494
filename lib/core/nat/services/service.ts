/**
 * Published service: an address and a port outside, and the back ends of which one is chosen for each flow: by
 * consistent hashing, or the one that has the fewest.
 */
import type { BackEnd, PublishedService } from "../records.ts";
import { MaglevTable } from "./maglev_table.ts";

/** How a back end is chosen for a flow. */
export type ServiceMethod = "hash" | "least";

/** What is published. */
export type ServiceFront = Pick<PublishedService, "protocol" | "address" | "port">;

export class Service implements PublishedService {
  readonly id: number;
  readonly protocol: number;
  readonly address: number;
  readonly port: number;
  method: ServiceMethod = "hash";
  #backEnds: readonly BackEnd[] = [];
  #table = new MaglevTable([]);
  /** Who of them could be chosen when the table was filled; null where it is to be filled. */
  #filledFor: string | null = null;
  /** Where the search for the one with the fewest begins: of equals, each has its turn. */
  #turn = 0;
  #keepsFlows = false;

  constructor(id: number, { protocol, address, port }: ServiceFront) {
    this.id = id;
    this.protocol = protocol;
    this.address = address;
    this.port = port;
  }

  get backEnds(): readonly BackEnd[] {
    return this.#backEnds;
  }

  get keepsFlows(): boolean {
    return this.#keepsFlows;
  }

  /**
   * Chooses among these from now on, as far as they may be chosen now. What has not changed costs next to nothing: a
   * peer that comes and goes would else have the tables of all services made again.
   */
  setBackEnds(backEnds: readonly BackEnd[]): void {
    const before = this.#backEnds;
    this.#backEnds = backEnds;
    this.#keepsFlows = backEnds.length > 1 || backEnds.some(({ isOutside }) => isOutside);
    if (this.method !== "hash") {
      // There is no table.
      this.#filledFor = null;
      return;
    }
    const isSame = backEnds.length === before.length &&
      backEnds.every((backEnd, index) => backEnd === before[index]);
    const eligible = backEnds.map(({ isEligible }) => Number(isEligible)).join("");
    if (isSame && eligible === this.#filledFor) return;
    if (!isSame || this.#filledFor === null) {
      this.#table = new MaglevTable(backEnds.map(({ name }) => name));
    }
    this.#table.fill((index) => backEnds[index].isEligible);
    this.#filledFor = eligible;
  }

  choose(hash: number): BackEnd | null {
    if (this.method === "least") return this.#least();
    const index = this.#table.at(hash);
    return index < 0 ? null : this.#backEnds[index];
  }

  #least(): BackEnd | null {
    const count = this.#backEnds.length;
    let least: BackEnd | null = null;
    for (let i = 0; i < count; i++) {
      const backEnd = this.#backEnds[(this.#turn + i) % count];
      if (backEnd.isEligible && (least === null || backEnd.open < least.open)) least = backEnd;
    }
    if (count > 0) this.#turn = (this.#turn + 1) % count;
    return least;
  }
}
