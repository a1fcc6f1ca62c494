/** Rules of iptables' older half of the kernel, as `iptables -S` prints them: that is the only form that others can read. */
import { parseIpv4, prefixMask } from "../../../core/wire/ipv4_text.ts";
import type { SupposedPacket } from "./packet.ts";
import type { Action, Entry, Match, Rule, WalkState } from "./walk.ts";
import { actionOfTarget, STATE_BITS } from "./xtables.ts";

/** An option of a rule with its values, as in `! -s 10.0.0.0/8`. */
interface Option {
  readonly name: string;
  readonly values: readonly string[];
  readonly isInverted: boolean;
}

/** Options that only load a match, or that hold for any packet which is no part of a flood. */
const NEUTRAL: ReadonlySet<string> = new Set([
  ...["-A", "-m", "--comment", "--limit", "--limit-burst", "--hashlimit-upto", "--hashlimit-mode"],
  ...["--hashlimit-burst", "--hashlimit-name"],
]);

/**
 * The entry of a chain at a hook.
 *
 * @param title of the entry, as in `iptables' INPUT`
 */
export function iptablesEntry(
  lines: readonly string[],
  { chain, title }: { readonly chain: string; readonly title: string },
): Entry {
  const chains = new Map<string, Rule[]>();
  const names = new Set(lines.flatMap((line) => line.startsWith("-N ") ? [line.slice(3)] : []));
  let policy: Entry["policy"] = "accepted";
  for (const line of lines) {
    const words = wordsOf(line);
    const [command, name = "", value] = words;
    if (command === "-P" && name === chain && value === "DROP") policy = "dropped";
    if (command !== "-A") continue;
    const rules = chains.get(name) ?? [];
    rules.push(ruleOf(line, words, names));
    chains.set(name, rules);
  }
  return { title, chain, chains, policy };
}

function ruleOf(line: string, words: readonly string[], chains: ReadonlySet<string>): Rule {
  const options = optionsOf(words);
  // What stands behind the target is the target's.
  const end = options.findIndex(({ name }) => name === "-j" || name === "-g");
  const target = options[end]?.values[0] ?? "";
  const action: Action = chains.has(target)
    ? { kind: options[end]!.name === "-g" ? "goto" : "jump", chain: target }
    : actionOfTarget(target);
  const conditions = options.slice(0, Math.max(0, end)).filter(({ name }) => !NEUTRAL.has(name));
  return {
    title: `iptables' rule \`${line}\``,
    judge: (packet, state) => {
      let match: Match = "yes";
      for (const condition of conditions) {
        const each = judge(condition, packet, state);
        if (each === "no") return { match: "no", action: null };
        if (each === "unlikely" || match === "unlikely") match = "unlikely";
        else if (each === "likely") match = "likely";
      }
      return { match, action };
    },
  };
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
      return holds(value === options.protocol || value === "all", isInverted);
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
    case "--state": {
      const bit = options.isEstablished === true ? STATE_BITS.ESTABLISHED : STATE_BITS.NEW;
      const names = value.split(",") as (keyof typeof STATE_BITS)[];
      return holds(names.some((each) => STATE_BITS[each] === bit), isInverted);
    }
    case "--dst-type":
      return holds((value === "LOCAL") === options.isLocal, isInverted);
    case "--mark": {
      if (state.mark === null) return isInverted ? "likely" : "unlikely";
      const [mark, mask = 0xffffffff] = value.split("/").map(Number);
      return holds(((state.mark & mask) >>> 0) === mark, isInverted);
    }
    case "--tcp-flags":
      // How `--syn` is printed: FIN,SYN,RST,ACK SYN.
      return holds(values[1] === "SYN" && options.isEstablished !== true, isInverted);
    default:
      return isInverted ? "likely" : "unlikely";
  }
}

function ofAddress(address: number | null, text: string, isInverted: boolean): Match {
  const [network = "", length = "32"] = text.split("/");
  const wanted = parseIpv4(network);
  if (wanted === null) return "unlikely";
  const mask = prefixMask(Number(length));
  if (mask === 0) return holds(true, isInverted);
  if (address === null) return isInverted ? "likely" : "unlikely";
  return holds(((address ^ wanted) & mask) === 0, isInverted);
}

/** A name that ends with `+` is all names that begin so. */
function ofDevice(device: string | null, text: string, isInverted: boolean): Match {
  if (text === "+") return holds(true, isInverted);
  if (device === null) return isInverted ? "likely" : "unlikely";
  const isSame = text.endsWith("+") ? device.startsWith(text.slice(0, -1)) : device === text;
  return holds(isSame, isInverted);
}

/** As in `53`, `1024:65535`, `80,443,1000:2000`. */
function hasPort(text: string, port: number): boolean {
  return text.split(",").some((part) => {
    const [first, last = first] = part.split(":");
    return port >= Number(first) && port <= Number(last);
  });
}

function holds(value: boolean, isInverted: boolean): Match {
  return value !== isInverted ? "yes" : "no";
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
