/**
 * Access items: the access rules as threads are told them: numbers, which JSON carries. `AccessBook` makes them of a
 * configuration, `AccessTable` decides by them.
 *
 * Peers have small numbers of their own here ("access ids"), from 1 on, which outlive their sessions.
 */
import { MAX_PEERS } from "../limits/max_peers.ts";
import type { PrefixWords } from "./inner_address.ts";

/** Access ids are below this; 0 is that of no peer. */
export const ACCESS_IDS: number = MAX_PEERS + 1;

/** Where a packet goes to, as a rule says it. */
export const TargetKind = {
  any: 0,
  network: 1,
  internet: 2,
  lan: 3,
  gateway: 4,
  peers: 5,
  /** The peer with this access id. */
  peer: 6,
  /** The members of the group with this number. */
  group: 7,
  /** An address of a host by its name: a network that is of the internet too, whatever a resolver says. */
  internetHost: 8,
} as const;

/** Stands for every protocol. */
export const ANY_PROTOCOL = -1;

/** One rule for one service. */
export interface RuleItem {
  /** Its number, by which denials are counted. */
  readonly rule: number;
  readonly kind: number;
  /** Of a network. */
  readonly network?: PrefixWords;
  /** Of a peer or a group. */
  readonly target?: number;
  readonly protocol: number;
  /** Ports; 0 to 65535 where there are none to tell apart. */
  readonly first: number;
  readonly last: number;
}

export type AccessItem =
  /** Rules of a peer or a group, or more of them where it is not the first part. */
  | {
    readonly kind: "list";
    readonly list: number;
    readonly isFirst: boolean;
    /** Whether there is an `Allow`, even one that matches nothing now: where there is, nothing else is allowed. */
    readonly hasAllow: boolean;
    readonly allow: readonly RuleItem[];
    readonly deny: readonly RuleItem[];
  }
  | { readonly kind: "no-list"; readonly list: number }
  /** A peer has these lists, and is in these groups. */
  | {
    readonly kind: "peer";
    readonly id: number;
    readonly lists: readonly number[];
    readonly groups: readonly number[];
  }
  | { readonly kind: "no-peer"; readonly id: number }
  /** What a host has, or more of it where it is not the first part. */
  | {
    readonly kind: "surroundings";
    readonly isFirst: boolean;
    readonly surroundings: AccessSurroundings;
  };

/** What `gateway`, `lan` and `internet` stand for. */
export interface AccessSurroundings {
  /** The gateway's addresses inside the tunnel, with the networks there. */
  readonly inner: readonly PrefixWords[];
  /** Its addresses outside. */
  readonly outer: readonly PrefixWords[];
  /** The networks that it is attached to. */
  readonly lan: readonly PrefixWords[];
}

export const NO_SURROUNDINGS: AccessSurroundings = { inner: [], outer: [], lan: [] };

/** A rule that is none: no `Allow` holds. */
export const NO_ALLOW_RULE = 0;

/** Packets of a peer that a rule has cost. */
export interface Denials {
  /** Access id. */
  readonly id: number;
  /** Of `RuleItem`, or `NO_ALLOW_RULE`. */
  readonly rule: number;
  readonly packets: number;
}
