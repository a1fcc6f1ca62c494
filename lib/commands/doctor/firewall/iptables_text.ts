/**
 * Rules of iptables' older half of the kernel, as `iptables -S` prints them: that is the only form that others can
 * read.
 */
import { type HostAddress, isIpv6, parseAddress } from "../../../core/wire/host_address.ts";
import { prefixMask } from "../../../core/wire/ipv4_text.ts";
import { isWithin6 } from "../../../core/wire/ipv6_prefix.ts";
import type { SupposedPacket } from "./packet.ts";
import { trackedStatus, XT_STATES, xtStates } from "./tracking.ts";
import {
  type Action,
  both,
  type FirewallEntry,
  type FirewallRule,
  type Match,
  matchOfKnown,
  matchOfParticular,
  type WalkState,
} from "./walk.ts";
import { actionOfTarget, applyMark, leaveUntracked } from "./xtables.ts";

/** An option of a rule with its values, as in `! -s 10.0.0.0/8`. */
interface Option {
  readonly name: string;
  readonly values: readonly string[];
  readonly isInverted: boolean;
}

/** What a rule asks for by one of its matches, as in `-m limit --limit 9/sec`; those of no match have the name "". */
interface Condition {
  readonly match: string;
  readonly options: readonly Option[];
}

/** Matches that hold for any packet which is no part of a flood. */
const NEUTRAL: ReadonlySet<string> = new Set(["comment", "limit"]);
const PROTOCOL_NUMBERS = { udp: "17", tcp: "6" } as const;
/** Of `IPS_*`, those that a connection may have here. */
const STATUSES: Readonly<Record<string, number>> = { SEEN_REPLY: 2, ASSURED: 4, CONFIRMED: 8 };
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];

/**
 * The entry of a chain at a hook.
 *
 * @param title of the entry, as in `iptables' INPUT`
 */
export function iptablesEntry(
  lines: readonly string[],
  { chain, title, program }: {
    readonly chain: string;
    readonly title: string;
    /** As in `ip6tables`. */
    readonly program: string;
  },
): FirewallEntry {
  const chains = new Map<string, FirewallRule[]>();
  const names = new Set(lines.flatMap((line) => line.startsWith("-N ") ? [line.slice(3)] : []));
  let policy: FirewallEntry["policy"] = "accepted";
  for (const line of lines) {
    const words = wordsOf(line);
    const [command, name = "", value] = words;
    if (command === "-P" && name === chain && value === "DROP") policy = "dropped";
    if (command !== "-A") continue;
    const rules = chains.get(name) ?? [];
    rules.push(ruleOf(`${program}' rule \`${line}\``, words, names));
    chains.set(name, rules);
  }
  return { title, chain, chains, policy };
}

function ruleOf(
  title: string,
  words: readonly string[],
  chains: ReadonlySet<string>,
): FirewallRule {
  const options = optionsOf(words);
  // What stands behind the target is the target's.
  const found = options.findIndex(({ name }) => name === "-j" || name === "-g");
  const end = found < 0 ? options.length : found;
  const target = options[end]?.values[0] ?? "";
  const settings = options.slice(end + 1);
  const action: Action = chains.has(target)
    ? { kind: options[end]!.name === "-g" ? "goto" : "jump", chain: target }
    : actionOfTarget(target);
  const conditions = conditionsOf(options.slice(0, end));
  return {
    title,
    judge: (packet, state) => {
      let match: Match = "yes";
      for (const condition of conditions) {
        match = both(match, judgeCondition(condition, packet, state));
        if (match === "no") return { match, action: null };
      }
      if (match !== "unlikely") apply(target, settings, state);
      return { match, action };
    },
  };
}

/** What targets change of a packet. */
function apply(target: string, settings: readonly Option[], state: WalkState): void {
  const [setting] = settings;
  if (target === "MARK" && setting?.name === "--set-xmark") {
    const [value = 0, mask = 0xffffffff] = setting.values[0]!.split("/").map(Number);
    applyMark(state, value, mask);
  }
  if (target === "NOTRACK" || target === "CT" && setting?.name === "--notrack") {
    leaveUntracked(state);
  }
}

/** Options belong to the match that was named last before them. */
function conditionsOf(options: readonly Option[]): Condition[] {
  const conditions: { match: string; options: Option[] }[] = [{ match: "", options: [] }];
  for (const option of options) {
    if (option.name === "-m") conditions.push({ match: option.values[0] ?? "", options: [] });
    else if (option.name !== "-A") conditions.at(-1)!.options.push(option);
  }
  return conditions;
}

function judgeCondition(
  { match, options }: Condition,
  packet: SupposedPacket,
  state: WalkState,
): Match {
  const has = (name: string) => options.find((option) => option.name === name);
  if (NEUTRAL.has(match)) return "yes";
  switch (match) {
    case "hashlimit":
      return has("--hashlimit-above") ? "unlikely" : "yes";
    case "connlimit":
      return has("--connlimit-upto") ? "yes" : "unlikely";
    case "policy":
      return matchOfKnown(has("--pol")?.values[0] === "none");
    case "recent": {
      if (has("--set")) return "yes";
      return matchOfParticular(options.some(({ isInverted }) => isInverted));
    }
    case "connmark": {
      // None has been set.
      const mark = has("--mark");
      return holds(Number(mark?.values[0]?.split("/")[0]) === 0, mark?.isInverted === true);
    }
    case "rpfilter": {
      const passes = packet.options.needsMark !== true || has("--loose") || has("--validmark");
      return matchOfKnown(Boolean(passes) === (has("--invert") === undefined));
    }
    default:
      return options.reduce((sum: Match, each) => both(sum, judge(each, packet, state)), "yes");
  }
}

function judge(
  { name, values, isInverted }: Option,
  packet: SupposedPacket,
  state: WalkState,
): Match {
  const [value = ""] = values;
  const { options, sourcePort } = packet;
  switch (name) {
    case "-p":
      return holds(
        ["all", "0", options.protocol, PROTOCOL_NUMBERS[options.protocol]].includes(value),
        isInverted,
      );
    case "-s":
      return ofAddress(options.source, value, isInverted);
    case "-d":
      return ofAddress(options.destination, value, isInverted);
    case "-i":
      return ofDevice(options.input, value, isInverted);
    case "-o":
      return ofDevice(options.output, value, isInverted);
    case "--sport":
    case "--sports":
      return holds(hasPort(value, sourcePort), isInverted);
    case "--dport":
    case "--dports":
      return holds(hasPort(value, options.destinationPort), isInverted);
    case "--ctstate":
    case "--state":
      return holds(hasBit(value, XT_STATES, xtStates(packet, state)), isInverted);
    case "--ctstatus":
      return holds(hasBit(value, STATUSES, trackedStatus(packet)), isInverted);
    case "--ctdir":
      return holds((value === "REPLY") === (options.isEstablished === true), isInverted);
    case "--dst-type":
      return holds(value.split(",").includes(options.isLocal ? "LOCAL" : "UNICAST"), isInverted);
    case "--src-type":
      return holds(value.split(",").includes("UNICAST"), isInverted);
    case "--limit-iface-in":
      return "yes";
    case "--pkt-type":
      return holds(value === "unicast", isInverted);
    // What this host sends here is the work of root.
    case "--uid-owner":
    case "--gid-owner":
      return holds(value === "0" || value === "root", isInverted);
    case "-f":
      return holds(false, isInverted);
    case "--mark": {
      if (state.mark === null) return matchOfParticular(isInverted);
      const [mark, mask = 0xffffffff] = value.split("/").map(Number);
      return holds(((state.mark & mask) >>> 0) === mark, isInverted);
    }
    case "--tcp-flags": {
      const [mask = "", wanted = ""] = values;
      const own = options.isEstablished === true ? "ACK" : "SYN";
      const found = flagsOf(mask).filter((flag) => flag === own);
      return holds(found.join() === flagsOf(wanted).join(), isInverted);
    }
    default:
      return matchOfParticular(isInverted);
  }
}

function ofAddress(address: HostAddress | null, text: string, isInverted: boolean): Match {
  const [network = "", suffix] = text.split("/");
  const wanted = parseAddress(network);
  if (wanted === null) return "unlikely";
  const length = Number(suffix ?? (isIpv6(wanted) ? 128 : 32));
  if (length === 0) return holds(true, isInverted);
  if (address === null) return matchOfParticular(isInverted);
  return holds(isInNetwork(address, wanted, length), isInverted);
}

function isInNetwork(address: HostAddress, network: HostAddress, length: number): boolean {
  if (isIpv6(address) || isIpv6(network)) {
    return isIpv6(address) && isIpv6(network) &&
      isWithin6(`${address}/128`, `${network}/${length}`);
  }
  return ((address ^ network) & prefixMask(length)) === 0;
}

/** A name that ends with `+` is all names that begin so. */
function ofDevice(device: string | null, text: string, isInverted: boolean): Match {
  if (text === "+") return holds(true, isInverted);
  if (device === null) return matchOfParticular(isInverted);
  const isSame = text.endsWith("+") ? device.startsWith(text.slice(0, -1)) : device === text;
  return holds(isSame, isInverted);
}

/** Whether one of the names in a list is of a bit that is set. */
function hasBit(list: string, names: Readonly<Record<string, number>>, bits: number): boolean {
  return list.split(",").some((name) => ((names[name] ?? 0) & bits) !== 0);
}

/** As in `53`, `1024:65535`, `80,443,1000:2000`. */
function hasPort(text: string, port: number): boolean {
  return text.split(",").some((part) => {
    const [first, last = first] = part.split(":");
    return port >= Number(first) && port <= Number(last);
  });
}

function flagsOf(text: string): readonly string[] {
  if (text === "ALL") return TCP_FLAGS;
  return text === "NONE" ? [] : text.split(",");
}

function holds(value: boolean, isInverted: boolean): Match {
  return matchOfKnown(value !== isInverted);
}

/** The options of a line: each takes the words up to the next. */
function optionsOf(words: readonly string[]): Option[] {
  const options: { name: string; values: string[]; isInverted: boolean }[] = [];
  let isInverted = false;
  for (const word of words) {
    if (word === "!") isInverted = true;
    else if (/^--?[a-z]/i.test(word)) {
      options.push({ name: word, values: [], isInverted });
      isInverted = false;
    } else options.at(-1)?.values.push(word);
  }
  return options;
}

/** The words of a line. A text in quotes is one, and keeps them, so that it is taken for no option. */
function wordsOf(line: string): string[] {
  return line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
}
