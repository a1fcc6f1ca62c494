/** Peer edit: the text of a file with one key of a peer changed, where every other byte and every comment stays. */
import type { PeerConfig } from "../config.ts";
import { PEER_KEYS } from "../values/keys.ts";
import { encodeKey } from "../values/key_text.ts";
import { type Entry, parseDocument } from "./config_document.ts";
import { peerKeyOf } from "./config_writer.ts";

/** What becomes of a key of `[Peer]`. */
export interface PeerKeyEdit {
  readonly key: keyof typeof PEER_KEYS;
  /** One line, without `#`; null takes the key out. */
  readonly value: string | null;
}

/**
 * The file with the edit made. A key that is there is changed on the line that counts, which is the last; of one whose
 * lines add up, the others go. A new key stands behind the last one of the peer's last section.
 *
 * @param peer a peer of this very text
 */
export function withPeerKey(text: string, peer: PeerConfig, { key, value }: PeerKeyEdit): string {
  const publicKey = encodeKey(peer.publicKey);
  const sections = parseDocument(text, "").filter((each) => peerKeyOf(each) === publicKey);
  if (sections.length === 0) throw new RangeError(`Cannot find a [Peer] with the key ${publicKey}`);
  const isOfKey = (entry: Entry) => entry.key.toLowerCase() === key.toLowerCase();
  const given = sections.flatMap(({ entries }) => entries).filter(isOfKey);
  const lines = text.split(/(?<=\n)/);
  const counting = given.at(-1);
  for (const entry of given) {
    const isKept = entry === counting && value !== null;
    if (!isKept && value !== null && !PEER_KEYS[key].repeats) continue;
    const at = entry.line - 1;
    lines[at] = isKept ? withValue(lines[at]!, value) : commentOf(lines[at]!);
  }
  if (counting === undefined && value !== null) {
    const last = sections.at(-1)!.entries.at(-1)!.line - 1;
    const newline = text.includes("\r\n") ? "\r\n" : "\n";
    const indent = /^\s*/.exec(lines[last]!)![0];
    if (!lines[last]!.endsWith("\n")) lines[last] += newline;
    lines.splice(last + 1, 0, `${indent}${key} = ${value}${newline}`);
  }
  return lines.join("");
}

/** A line `Key = value # comment` with another value. */
function withValue(line: string, value: string): string {
  const hash = line.indexOf("#");
  const said = hash < 0 ? line : line.slice(0, hash);
  const start = said.indexOf("=") + 1;
  const old = said.slice(start);
  const blanks = old.trim() === "" ? " " : old.slice(0, old.length - old.trimStart().length);
  const end = Math.max(start, said.trimEnd().length);
  return `${said.slice(0, start)}${blanks || " "}${value}${line.slice(end)}`;
}

/** What is left of a line whose key is taken out. */
function commentOf(line: string): string {
  const at = line.indexOf("#");
  return at < 0 ? "" : /^\s*/.exec(line)![0] + line.slice(at);
}
