/**
 * Gateway list: this gateway's number in its fleet, and who the others are: from the store, in which it enters itself,
 * and from a file where that is not reached.
 */
import { decodeKey } from "../../core/config/values/key_text.ts";
import {
  gatewayBytes,
  type GatewayEntry,
  gatewayKey,
  gatewayOfKey,
  MAX_GATEWAYS,
  readGateway,
} from "../../core/fleet/gateway_entries.ts";
import type { BucketEntry } from "../../core/fleet/store_mirror.ts";
import { readRegular } from "../files/bounded_read.ts";
import { createKeyFile } from "../files/config_store.ts";

/** Bytes. */
const MAX_SIZE = 512 * 1024;

export interface NumberedGateway extends GatewayEntry {
  readonly number: number;
}

/** Of a store. */
export interface GatewayStore {
  readonly gateways: ReadonlyMap<string, BucketEntry> | null;
  putGateway(
    key: string,
    value: Uint8Array<ArrayBuffer> | null,
    expected: number,
  ): Promise<number | null>;
}

export class GatewayList {
  readonly #path: string;
  readonly #own: Omit<GatewayEntry, "isDraining">;
  #gateways: readonly NumberedGateway[];

  /** @param path of the file */
  constructor(path: string, own: Omit<GatewayEntry, "isDraining">) {
    this.#path = path;
    this.#own = own;
    this.#gateways = readKept(path);
  }

  /** By number. */
  get gateways(): readonly NumberedGateway[] {
    return this.#gateways;
  }

  /** This gateway's number; null where it has none yet. */
  get self(): number | null {
    const { publicKey } = this.#own;
    return this.#gateways.find((each) => each.publicKey === publicKey)?.number ?? null;
  }

  /** Whether this gateway is to take nothing that another can have. */
  get isDraining(): boolean {
    const { self } = this;
    return this.#gateways.some(({ number, isDraining }) => number === self && isDraining);
  }

  /** Enters this gateway in the store, or what has changed of it. @throws {Error} where the store does not answer */
  async enter(store: GatewayStore): Promise<void> {
    for (let attempt = 0; attempt < MAX_GATEWAYS; attempt++) {
      const entries = store.gateways ?? new Map<string, BucketEntry>();
      const known = listOf(entries);
      const self = known.find(({ publicKey }) => publicKey === this.#own.publicKey);
      const number = self?.number ?? firstFree(known);
      if (number === null) throw new Error(`the fleet has ${MAX_GATEWAYS} gateways already`);
      const key = gatewayKey(number);
      const entry = entries.get(key);
      const own = { ...this.#own, isDraining: self?.isDraining ?? false };
      const bytes = gatewayBytes(own);
      if (entry?.value?.toBase64() === bytes.toBase64()) break;
      // Two that begin at once take one number each.
      const revision = await store.putGateway(key, bytes, entry?.revision ?? 0);
      if (revision === null) {
        await new Promise((resolve) => setTimeout(resolve, 20 * Math.random()));
        continue;
      }
      this.#set([...known.filter((each) => each.number !== number), { ...own, number }]);
      return;
    }
    this.follow(store);
  }

  /** Takes over what the store has. */
  follow({ gateways }: GatewayStore): void {
    const list = gateways === null ? [] : listOf(gateways);
    if (list.length > 0) this.#set(list);
  }

  #set(list: readonly NumberedGateway[]): void {
    const sorted = list.toSorted((one, other) => one.number - other.number);
    const text = JSON.stringify(sorted);
    if (text === JSON.stringify(this.#gateways)) return;
    this.#gateways = sorted;
    const content = new TextEncoder().encode(text);
    createKeyFile({ path: this.#path, content, overwrite: true, withFolder: true });
  }
}

/** The gateways of a store, by number. */
export function storedGateways({ gateways }: Pick<GatewayStore, "gateways">): NumberedGateway[] {
  return listOf(gateways ?? new Map()).sort((one, other) => one.number - other.number);
}

/**
 * Changes a gateway in the store, or takes it out.
 *
 * @returns false where somebody else was first
 * @throws {Error} where it is not known whether it is changed
 */
export async function changeGateway(
  store: GatewayStore,
  { number, ...entry }: NumberedGateway,
  change: Pick<GatewayEntry, "isDraining"> | null,
): Promise<boolean> {
  const key = gatewayKey(number);
  const value = change === null ? null : gatewayBytes({ ...entry, ...change });
  return await store.putGateway(key, value, store.gateways?.get(key)?.revision ?? 0) !== null;
}

function firstFree(known: readonly NumberedGateway[]): number | null {
  const taken = new Set(known.map(({ number }) => number));
  for (let number = 0; number < MAX_GATEWAYS; number++) if (!taken.has(number)) return number;
  return null;
}

/** What is in the store and can be used. */
function listOf(entries: ReadonlyMap<string, BucketEntry>): NumberedGateway[] {
  return Array.from(entries.values()).flatMap(({ key, value }) => {
    const number = gatewayOfKey(key);
    const entry = value === null ? null : readGateway(value);
    return number === null || entry === null ? [] : [{ ...entry, number }];
  });
}

/** What was kept; nothing where that cannot be used. */
function readKept(path: string): NumberedGateway[] {
  try {
    const kept = JSON.parse(new TextDecoder().decode(readRegular(path, MAX_SIZE).bytes));
    return Array.isArray(kept) && kept.every(isNumbered) ? kept : [];
  } catch {
    return [];
  }
}

function isNumbered(value: NumberedGateway | null): boolean {
  return typeof value === "object" && value !== null &&
    gatewayOfKey(gatewayKey(value.number)) === value.number &&
    typeof value.publicKey === "string" && decodeKey(value.publicKey) !== null &&
    typeof value.isDraining === "boolean" && Number.isInteger(value.endpoint?.address) &&
    Number.isInteger(value.endpoint.port);
}
