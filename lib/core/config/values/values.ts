/** Values: reads numbers, durations, choices, names and commands. */
import type { PortRange } from "../../wire/port_range.ts";
import type { Entry } from "../text/config_document.ts";
import { ConfigError } from "../config_error.ts";
import { INTERFACE_NAME_RULE, isInterfaceName } from "./interface_name.ts";
import { decodeKey, keyProblem } from "./key_text.ts";
import { badValue } from "../text/section.ts";
import type { HookCommand } from "../config.ts";

/** How a value is read from which `wg` drops all blanks, those inside included. */
export function withoutBlanks<T>(parse: (entry: Entry) => T): (entry: Entry) => T {
  return (entry) => parse({ ...entry, value: entry.value.replace(/\s/g, "") });
}

/** How a value is read that may be left out behind the `=`, as in files that programs write. */
export function orNothing<T>(parse: (entry: Entry) => T): (entry: Entry) => T | undefined {
  return (entry) => entry.value === "" ? undefined : parse(entry);
}

/** A key; no part of it is ever shown in the error. */
export function parseKey(entry: Entry): Uint8Array {
  const key = decodeKey(entry.value);
  if (key === null) {
    throw new ConfigError(
      `${entry.fileName}:${entry.line}: ${entry.key}: cannot use this value: ${
        keyProblem(entry.value)
      }`,
    );
  }
  return key;
}

/** A port or 0, for "let the kernel choose". */
export function parseListenPort(entry: Entry): number {
  return integer(entry.value, 0, 65535) ?? entry.names?.service(entry.value) ??
    rejectValue(entry, "a port is 1 to 65535");
}

/** A port behind a colon, by its number or by the name of a service, as `wg` takes them. */
export function portOf(entry: Entry, text: string): number {
  return integer(text, 1, 65535) ?? entry.names?.service(text) ??
    rejectValue(entry, "a port is 1 to 65535");
}

/** `20000-29999`; the first may equal the last. */
export function parsePortRange(entry: Entry): PortRange {
  const rule = "a range of ports is FIRST-LAST, as in 20000-29999, within 1 to 65535";
  const [, firstText, lastText] = /^(\d+)\s*-\s*(\d+)$/.exec(entry.value) ??
    rejectValue(entry, rule);
  const first = integer(firstText!, 1, 65535) ?? rejectValue(entry, rule);
  const last = integer(lastText!, first, 65535) ?? rejectValue(entry, rule);
  return { first, last };
}

/**
 * 65,535 is the longest IPv4 packet; 80 bytes are left for the outer headers, as wg-quick does. 0 leaves the choice to
 * the program, as in every WireGuard app.
 */
export function parseMtu(entry: Entry): "auto" | number | undefined {
  if (entry.value.toLowerCase() === "auto") return "auto";
  const mtu = integer(entry.value, 0, 65455);
  if (mtu === 0) return undefined;
  return mtu !== undefined && mtu >= 576
    ? mtu
    : rejectValue(entry, 'an MTU is "auto", or 576 to 65455');
}

export function parseTable(entry: Entry): "auto" | "off" | number {
  const value = entry.value.toLowerCase();
  if (value === "auto" || value === "off") return value;
  return integer(value, 1, 0xffffffff) ?? MAIN_TABLES[value] ?? entry.names?.table(entry.value) ??
    rejectValue(entry, 'a table is "auto", "off", "main" or a number from 1 to 4294967295');
}

/** Threads that move packets: an index has four bits for the number of one. */
export function parseThreads(entry: Entry): "auto" | number {
  if (entry.value.toLowerCase() === "auto") return "auto";
  return integer(entry.value, 1, 15) ??
    rejectValue(entry, 'the number of threads is "auto", or from 1 to 15');
}

/** Those that the kernel begins with (linux/rtnetlink.h). */
const MAIN_TABLES: Readonly<Record<string, number>> = { default: 253, main: 254, local: 255 };

/** `off` is 0. */
export function parseFwMark(entry: Entry): number {
  if (entry.value.toLowerCase() === "off") return 0;
  return integer(entry.value, 0, 0xffffffff) ??
    rejectValue(entry, 'a mark is "off" or a number up to 4294967295 or 0xffffffff');
}

/** Seconds; `off` is 0. */
export function parseKeepalive(entry: Entry): number {
  if (entry.value.toLowerCase() === "off") return 0;
  return integer(entry.value, 0, 65535) ??
    rejectValue(entry, 'a keepalive interval is "off" or 1 to 65535 seconds');
}

/** Seconds, with a fraction if need be, as ms; `why` says what is wrong with any other. */
export function secondsBetween(
  least: number,
  most: number,
  why: string | null = null,
): (entry: Entry) => number {
  return (entry) => {
    const seconds = /^\d{1,9}(\.\d{1,9})?$/.test(entry.value) ? Number(entry.value) : NaN;
    if (seconds >= least && seconds <= most) return Math.round(seconds * 1000);
    const rule = `a time is ${least} to ${most} seconds`;
    throw badValue(entry, why === null ? rule : `${rule}: ${why}`);
  };
}

/** One of `choices`, in whatever capitals. */
export function oneOf<const Choice extends string>(
  ...choices: readonly Choice[]
): (entry: Entry) => Choice {
  return (entry) =>
    choices.find((choice) => choice === entry.value.toLowerCase()) ??
      rejectValue(entry, `allowed are ${enumerated(choices)}`);
}

export function parseSwitch(entry: Entry): boolean {
  return oneOf("on", "off")(entry) === "on";
}

export function parseYesNo(entry: Entry): boolean {
  return oneOf("yes", "no")(entry) === "yes";
}

/** wg-quick's `SaveConfig`. */
export function parseBoolean(entry: Entry): boolean {
  return oneOf("true", "false")(entry) === "true";
}

export function parseInterfaceName(entry: Entry): string {
  return isInterfaceName(entry.value) ? entry.value : rejectValue(entry, INTERFACE_NAME_RULE);
}

/** The name of a group of users of this host, as `groupadd` takes it. */
export function parseUserGroup(entry: Entry): string {
  if (/^[a-z_][a-z0-9_-]{0,31}$/i.test(entry.value)) return entry.value;
  return rejectValue(entry, "a group has 1 to 32 letters, digits and characters of _ -");
}

/** A shell command: the rest of the line as it stands. None, where nothing stands there, as wg-easy writes it. */
export function parseCommand(entry: Entry): readonly HookCommand[] {
  return entry.value === "" ? [] : [{ command: entry.value, line: entry.line }];
}

/** A name that a file can have as well, and that no shell takes for an option. */
export function parsePeerName(entry: Entry): string {
  const name = entry.value.replace(/\s+/g, " ");
  return isPeerName(name) ? name : rejectValue(
    entry,
    "a name has 1 to 63 letters, digits, blanks or characters of . , _ @ + - & ' ( ) and begins with a letter or digit",
  );
}

/** Whether a peer may have this name: nothing that leads to another folder, or ends in a blank that nobody sees. */
export function isPeerName(name: string): boolean {
  return /^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._@+\-&'(),]{0,62}$/u.test(name) && !name.endsWith(" ");
}

/** A name without blanks, as several stand in one line. */
export function parseGroupName(entry: Entry): string {
  return isGroupName(entry.value) ? entry.value : rejectValue(entry, GROUP_RULE);
}

/** Names of groups, with commas or blanks between them. */
export function parseGroups(entry: Entry): readonly string[] {
  const names = entry.value.split(/[\s,]+/).filter((name) => name !== "");
  const bad = names.find((name) => !isGroupName(name));
  if (bad !== undefined) throw badValue(entry, GROUP_RULE, bad);
  // Without the rules of a group, a peer may go everywhere.
  if (names.length === 0) throw badValue(entry, "it names no group: name one, or remove the line");
  return names;
}

const GROUP_RULE =
  "a group's name has 1 to 63 letters, digits or characters of . _ - and begins with a letter or digit";

/** Whether a group may have this name. */
export function isGroupName(name: string): boolean {
  return /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._-]{0,62}$/u.test(name);
}

/** Bits a second, as in `500k`, `10M` or `1.5G`, powers of 1,000; `off` is `null`. */
export function parseRateLimit(entry: Entry): number | null {
  if (entry.value.toLowerCase() === "off") return null;
  const rule = 'a rate is "off" or bits a second, as in 500k, 10M or 1G, from 1k to 1000G';
  const [, digits, unit] = /^(\d{1,12}(?:\.\d{1,9})?)\s*([kmg]?)$/i.exec(entry.value) ??
    rejectValue(entry, rule);
  const factor = { "": 1, k: 1e3, m: 1e6, g: 1e9 }[unit!.toLowerCase()]!;
  const rate = Math.round(Number(digits) * factor);
  return rate >= 1e3 && rate <= 1e12 ? rate : rejectValue(entry, rule);
}

/** A rate as a file has it. */
export function rateText(rate: number): string {
  for (const [unit, factor] of [["G", 1e9], ["M", 1e6], ["k", 1e3]] as const) {
    if (rate % factor === 0) return `${rate / factor}${unit}`;
  }
  return `${rate}`;
}

/** The number, decimal or hexadecimal behind `0x`, if it is one and lies within the bounds. */
export function integer(text: string, least: number, most: number): number | undefined {
  if (!/^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

/** Throws the error for a value that breaks `rule`: an expression, for the right side of `??`. */
export function rejectValue(entry: Entry, rule: string): never {
  throw badValue(entry, rule);
}

function enumerated(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(", ")} and ${choices.at(-1)}`;
}
