/**
 * Flow replicas: what a gateway knows of the flows through the NAT of another, of which the last word counts: a table
 * of fixed size, whose memory is taken with the first one.
 */
import type { FlowRecord } from "../nat/replicas/flow_record.ts";
import { hash } from "../wire/hash.ts";

/** Places, twice as many as flows are told of, in groups in which a flow has its place. */
const PLACES = 1 << 17;
const GROUP = 8;
const GROUPS = PLACES / GROUP;
const SECOND = 1_000;
/** ms after which a flow that others have been told again without is over: two rounds and a half. */
const SILENCE = 25_000;

// Words of a place.
const KIND = 0;
const PORTS = 1;
const INNER_ADDRESS = 2;
const REMOTE_ADDRESS = 3;
/** The remote port, and seconds for which it is kept unused. */
const REMOTE_PORT = 4;
/** When it was told last, monotonic seconds. */
const TOLD = 5;
const WORDS = 6;

/** The bits of `KIND`: protocol, whether the port is shared, whether the place is used, what has been seen. */
const SHARED = 1 << 8;
const USED = 1 << 9;
const SEEN_BITS = 16;
const KEY_BITS = 0xffff;

export class FlowReplicas {
  #words: Int32Array | null = null;
  readonly #seed: number;
  /** When any was told last, monotonic ms. */
  #toldAt = -Infinity;

  /** @param seed secret and random: clients choose what is hashed */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Takes what was told of a flow, in place of what is known of it; where there is no room, of who was told first. */
  put(record: FlowRecord, now: number): void {
    const words = this.#words ??= new Int32Array(PLACES * WORDS);
    const { protocol, isShared, externalPort, remoteAddress, remotePort } = record;
    const key = protocol | USED | (isShared ? SHARED : 0);
    const group = hash(hash(remoteAddress, externalPort << 16 | remotePort, this.#seed), key, 0) &
      (GROUPS - 1);
    let at = group * GROUP * WORDS;
    for (let i = 0; i < GROUP; i++) {
      const place = (group * GROUP + i) * WORDS;
      const isSame = (words[place]! & KEY_BITS) === key &&
        words[place + PORTS]! >>> 16 === externalPort &&
        words[place + REMOTE_ADDRESS] === remoteAddress &&
        words[place + REMOTE_PORT]! >>> 16 === remotePort;
      if (isSame) {
        at = place;
        break;
      }
      if (words[place + TOLD]! < words[at + TOLD]!) at = place;
    }
    this.#toldAt = now;
    words[at + KIND] = key | record.seen << SEEN_BITS;
    words[at + PORTS] = externalPort << 16 | record.innerPort;
    words[at + INNER_ADDRESS] = record.innerAddress;
    words[at + REMOTE_ADDRESS] = remoteAddress;
    words[at + REMOTE_PORT] = remotePort << 16 | Math.ceil(record.timeLeft / SECOND);
    words[at + TOLD] = Math.ceil(now / SECOND);
  }

  /** Those that are not over, those first that were told last. */
  current(now: number): FlowRecord[] {
    const words = this.#words;
    if (words === null) return [];
    const bySilence: FlowRecord[][] = [];
    for (let at = 0; at < words.length; at += WORDS) {
      if (words[at] === 0) continue;
      const told = words[at + TOLD]! * SECOND;
      // While nobody tells of any, none is over for that.
      const silence = Math.max(0, this.#toldAt - told);
      const timeLeft = (words[at + REMOTE_PORT]! & 0xffff) * SECOND - Math.max(0, now - told);
      if (silence > SILENCE || timeLeft <= 0) continue;
      (bySilence[Math.floor(silence / SECOND)] ??= []).push(recordAt(words, at, timeLeft));
    }
    return bySilence.flat();
  }
}

function recordAt(words: Int32Array, at: number, timeLeft: number): FlowRecord {
  const kind = words[at]!;
  return {
    protocol: kind & 0xff,
    isShared: (kind & SHARED) !== 0,
    seen: kind >>> SEEN_BITS,
    externalPort: words[at + PORTS]! >>> 16,
    innerAddress: words[at + INNER_ADDRESS]!,
    innerPort: words[at + PORTS]! & 0xffff,
    remoteAddress: words[at + REMOTE_ADDRESS]!,
    remotePort: words[at + REMOTE_PORT]! >>> 16,
    timeLeft,
  };
}
