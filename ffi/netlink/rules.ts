/** Policy routing rules: which table is asked for which packet (`RTM_*RULE`, `include/uapi/linux/fib_rules.h`). */
import { struct } from "../layout.ts";
import { dumpOfFamily, isUnsupported } from "./families.ts";
import type { AddressFamily, IpPrefix } from "./ip_address.ts";
import { AF_INET, AF_INET6 } from "../socket_constants.ts";
import {
  Attributes,
  MessageBuilder,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from "./message.ts";
import type { RouteProtocol } from "./routes.ts";
import { NetlinkError, type RequestChannel } from "./socket.ts";

const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PROTOCOL = 21;

const FIB_RULE_INVERT = 0x2;
const FR_ACT_TO_TBL = 1;
/** What a rule has that suppresses nothing. */
const NO_SUPPRESSION = 0xffffffff;

/**
 * ```c
 * struct fib_rule_hdr {
 *   __u8 family, dst_len, src_len, tos;
 *   __u8 table, res1, res2, action;
 *   __u32 flags;
 * };
 * ```
 */
const FIB_RULE_HDR = struct({
  family: "u8",
  destinationLength: "u8",
  sourceLength: "u8",
  tos: "u8",
  table: "u8",
  reserved1: "u8",
  reserved2: "u8",
  action: "u8",
  flags: "u32",
});

/** A firewall mark to compare: a packet fits when `mark & mask` equals `value`. */
export interface MarkMatch {
  readonly value: number;
  /** All 32 bits if left out. */
  readonly mask?: number;
}

/** A rule that sends packets to a table. For `delete()`: what the rule to delete must match. */
export interface RuleSpec {
  readonly family: AddressFamily;
  readonly table: number;
  /** Rules are tried by growing priority. If left out the kernel takes one less than its smallest but 0. */
  readonly priority?: number;
  readonly mark?: MarkMatch;
  /** The rule applies to the packets that do *not* fit (`not` in `ip rule`). */
  readonly inverted?: boolean;
  /** Routes with a prefix of this length or shorter do not count: 0 leaves out the default route. */
  readonly suppressPrefixLength?: number;
  /** Who makes it; nobody in particular if left out (Linux 4.17). For `delete()`, any if left out. */
  readonly protocol?: RouteProtocol;
}

/** A rule as the kernel lists it. */
export interface Rule {
  readonly family: AddressFamily;
  readonly priority: number;
  /** 1 for a table lookup; others as `FR_ACT_*`. */
  readonly action: number;
  /** 0 where the action needs none. */
  readonly table: number;
  readonly mark: Required<MarkMatch> | null;
  readonly inverted: boolean;
  readonly suppressPrefixLength: number | null;
  /** A number of `RouteProtocol`; 0 for nobody in particular. */
  readonly protocol: number;
  readonly source: IpPrefix | null;
  readonly destination: IpPrefix | null;
  /** Name. */
  readonly inputInterface: string | null;
  /** Name. */
  readonly outputInterface: string | null;
}

export class Rules {
  readonly #channel: RequestChannel;

  constructor(channel: RequestChannel) {
    this.#channel = channel;
  }

  /**
   * The rules of one family, or of both, in the order in which they are tried; none of a family that the kernel lacks.
   */
  list(filter: { readonly family?: AddressFamily } = {}): Rule[] {
    const families = filter.family === undefined ? [AF_INET, AF_INET6] : [filter.family];
    return families.flatMap((family) => {
      const message = new MessageBuilder(RTM_GETRULE, 0).struct(FIB_RULE_HDR, { family });
      return dumpOfFamily(this.#channel, message, "list routing rules")
        .flatMap((answer) => decodeRule(answer) ?? [])
        // A kernel without IPv6 answers the request for it with the rules of all families it has.
        .filter((rule) => rule.family === family);
    });
  }

  /**
   * Adds a rule.
   *
   * @throws {NetlinkError} EEXIST when there is one like it with the same priority; without `priority` the new one gets
   * one of its own, so the same rule can be there twice; EAFNOSUPPORT or EOPNOTSUPP where the kernel has no rules of
   * the family
   */
  add(spec: RuleSpec): void {
    const message = encodeRule(spec, { type: RTM_NEWRULE, flags: NLM_F_CREATE | NLM_F_EXCL });
    const action = `add ${describe(spec)}`;
    try {
      this.#channel.request(message, action);
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      const option = `CONFIG_${spec.family === AF_INET ? "IP" : "IPV6"}_MULTIPLE_TABLES`;
      throw new NetlinkError(action, error.errno, `the kernel lacks policy routing (${option})`);
    }
  }

  /**
   * Deletes the first rule that has everything `spec` says.
   *
   * @throws {NetlinkError} ENOENT when there is none
   */
  delete(spec: RuleSpec): void {
    const message = encodeRule(spec, { type: RTM_DELRULE, flags: 0 });
    this.#channel.request(message, `delete ${describe(spec)}`);
  }
}

/** The rule that a message describes; null for other messages and other families. */
export function decodeRule(message: NetlinkMessage): Rule | null {
  if (message.type !== RTM_NEWRULE && message.type !== RTM_DELRULE) return null;
  const header = FIB_RULE_HDR.read(message.body, 0);
  const { family, action } = header;
  if (family !== AF_INET && family !== AF_INET6) return null;
  const attributes = new Attributes(message.body, FIB_RULE_HDR.size);
  const prefix = (type: number, length: number): IpPrefix | null => {
    const address = attributes.bytes(type)?.slice() ?? null;
    return address === null ? null : { address, length };
  };
  const value = attributes.u32(FRA_FWMARK) ?? 0;
  const mask = attributes.u32(FRA_FWMASK) ?? 0;
  const suppressed = attributes.u32(FRA_SUPPRESS_PREFIXLEN) ?? NO_SUPPRESSION;
  return {
    family,
    priority: attributes.u32(FRA_PRIORITY) ?? 0,
    action,
    table: attributes.u32(FRA_TABLE) ?? header.table,
    mark: value === 0 && mask === 0 ? null : { value, mask },
    inverted: (header.flags & FIB_RULE_INVERT) !== 0,
    suppressPrefixLength: suppressed === NO_SUPPRESSION ? null : suppressed,
    protocol: attributes.bytes(FRA_PROTOCOL)?.[0] ?? 0,
    source: prefix(FRA_SRC, header.sourceLength),
    destination: prefix(FRA_DST, header.destinationLength),
    inputInterface: attributes.string(FRA_IIFNAME),
    outputInterface: attributes.string(FRA_OIFNAME),
  };
}

function encodeRule(
  spec: RuleSpec,
  request: { readonly type: number; readonly flags: number },
): MessageBuilder {
  const message = new MessageBuilder(request.type, request.flags)
    .struct(FIB_RULE_HDR, {
      family: spec.family,
      // A table beyond one byte goes by FRA_TABLE.
      table: spec.table < 256 ? spec.table : 0,
      action: FR_ACT_TO_TBL,
      flags: spec.inverted === true ? FIB_RULE_INVERT : 0,
    });
  if (spec.mark !== undefined) {
    message.u32(FRA_FWMARK, spec.mark.value).u32(FRA_FWMASK, spec.mark.mask ?? 0xffffffff);
  }
  if (spec.suppressPrefixLength !== undefined) {
    message.u32(FRA_SUPPRESS_PREFIXLEN, spec.suppressPrefixLength);
  }
  if (spec.priority !== undefined) message.u32(FRA_PRIORITY, spec.priority);
  if (spec.protocol !== undefined) message.bytes(FRA_PROTOCOL, Uint8Array.of(spec.protocol));
  if (spec.table >= 256) message.u32(FRA_TABLE, spec.table);
  return message;
}

function describe(spec: RuleSpec): string {
  const family = spec.family === AF_INET ? "IPv4" : "IPv6";
  const priority = spec.priority === undefined ? "" : ` with priority ${spec.priority}`;
  return `${family} routing rule${priority} for table ${spec.table}`;
}
