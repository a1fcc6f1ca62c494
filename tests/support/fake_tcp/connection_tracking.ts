/**
 * Slow, obvious model of a strict firewall's connection tracking: the four rules of
 * lib/core/transport/fake_tcp/README.md ("What strict connection tracking demands"), as Linux applies them
 * (net/netfilter/nf_conntrack_proto_tcp.c), with `nf_conntrack_tcp_be_liberal=0` and `tcp_loose=0`. It judges; it drops
 * nothing by itself.
 *
 * It is stricter than Linux in one thing: what goes beyond the window by less than another window is invalid here, too.
 */
import type { Bytes } from "../packets/packet_builder.ts";
import { ACK, type Direction, FIN, read, RST, type Segment, SYN } from "./world.ts";

/** What acknowledgments may lag behind by, where windows are smaller. */
const MAX_ACK_WINDOW = 66_000;

/** What was seen of one end. */
class Seen {
  /** The end of the highest segment that it sent. */
  end = 0;
  /** The most that it may send: the other end's highest acknowledgment and window. */
  maxEnd = 0;
  /** The largest window that it ever offered; 0 when nothing was seen of it. */
  maxWindow = 0;
  scale = 0;
  asksForScale = false;
  /** Its highest acknowledgment. */
  maxAck: number | null = null;
}

type State = "none" | "syn sent" | "syn received" | "established" | "closed";

interface Flow {
  state: State;
  readonly up: Seen;
  readonly down: Seen;
}

const after = (a: number, b: number) => ((a - b) | 0) > 0;
const sum = (a: number, b: number) => (a + b) >>> 0;

export class ConnectionTracking {
  /** By the four-tuple. */
  readonly #flows = new Map<string, Flow>();
  /** Why packets were invalid. */
  readonly invalid: string[] = [];
  /** Packets judged. */
  count = 0;

  /** Whether a packet is valid; if so, it is taken note of. */
  judge(packet: Bytes, direction: Direction): boolean {
    this.count++;
    const segment = read(packet);
    const reason = this.#judge(segment, direction);
    if (reason === null) return true;
    this.invalid.push(`${direction} ${segment.flags} ${reason}`);
    return false;
  }

  /** The state of the only flow. */
  get state(): State {
    const [flow] = this.#flows.values();
    return flow?.state ?? "none";
  }

  #judge(segment: Segment, direction: Direction): string | null {
    const { source, sourcePort, destination, destinationPort, flags } = segment;
    const ends = [`${source}:${sourcePort}`, `${destination}:${destinationPort}`];
    const key = (direction === "up" ? ends : ends.reverse()).join(" ");
    let flow = this.#flows.get(key);
    const opens = (flags & (SYN | ACK | RST | FIN)) === SYN;
    if (flow === undefined || (flow.state === "closed" && opens)) {
      // tcp_loose=0: nothing begins in the middle.
      if (!opens || direction === "down") return "no connection";
      flow = { state: "syn sent", up: new Seen(), down: new Seen() };
      this.#flows.set(key, flow);
      begin(flow.up, segment);
      return null;
    }
    const [sender, receiver] = direction === "up" ? [flow.up, flow.down] : [flow.down, flow.up];
    if (sender.maxWindow === 0) {
      if ((flags & SYN) === 0) return "no SYN/ACK yet";
      begin(sender, segment);
      if (!sender.asksForScale || !receiver.asksForScale) sender.scale = receiver.scale = 0;
    }
    const reason = this.#checkWindow(segment, sender, receiver);
    if (reason !== null) return reason;
    if ((flags & RST) !== 0 && receiver.maxAck !== null && after(receiver.maxAck, segment.seq)) {
      return "RST before what was acknowledged";
    }
    update(segment, sender, receiver);
    if ((flags & RST) !== 0) flow.state = "closed";
    else if (flow.state === "syn sent" && direction === "down") flow.state = "syn received";
    else if (flow.state === "syn received" && direction === "up" && (flags & SYN) === 0) {
      flow.state = "established";
    }
    return null;
  }

  #checkWindow({ seq, ack, flags, payload }: Segment, sender: Seen, receiver: Seen): string | null {
    const end = sum(seq, payload.length + ((flags & (SYN | FIN)) !== 0 ? 1 : 0));
    const acknowledged = (flags & ACK) !== 0 ? ack : receiver.end;
    if (after(seq, sender.maxEnd)) return `SEQ ${(seq - sender.maxEnd) | 0} over upper bound`;
    if (receiver.maxWindow > 0 && !after(end, sender.end - receiver.maxWindow - 1)) {
      return `SEQ ${(sender.end - end) | 0} under the highest`;
    }
    if (after(acknowledged, receiver.end)) return "ACK of what was never seen";
    const lag = Math.max(sender.maxWindow, MAX_ACK_WINDOW);
    if (!after(acknowledged, receiver.end - lag - 1)) return "ACK under lower bound";
    return null;
  }
}

/** Takes the first SYN, or SYN/ACK, of one end. */
function begin(sender: Seen, segment: Segment): void {
  sender.end = sender.maxEnd = sum(segment.seq, 1);
  sender.maxWindow = Math.max(segment.window, 1);
  const { options } = segment;
  for (let at = 0; at < options.length && options[at] !== 0;) {
    if (options[at] === 3) {
      sender.asksForScale = true;
      sender.scale = options[at + 2]!;
    }
    at += options[at] === 1 ? 1 : options[at + 1]!;
  }
}

function update(segment: Segment, sender: Seen, receiver: Seen): void {
  const { seq, ack, flags, payload } = segment;
  const end = sum(seq, payload.length + ((flags & (SYN | FIN)) !== 0 ? 1 : 0));
  const acknowledged = (flags & ACK) !== 0 ? ack : receiver.end;
  const window = (flags & SYN) !== 0 ? segment.window : segment.window * 2 ** sender.scale;
  sender.maxWindow = Math.max(sender.maxWindow, window);
  if (after(end, sender.end)) sender.end = end;
  if ((flags & ACK) !== 0 && (sender.maxAck === null || after(ack, sender.maxAck))) {
    sender.maxAck = ack;
  }
  if (receiver.maxWindow > 0 && after(end, sender.maxEnd)) {
    receiver.maxWindow += (end - sender.maxEnd) | 0;
  }
  const allowed = sum(acknowledged, Math.max(window, 1));
  if (after(allowed, receiver.maxEnd)) receiver.maxEnd = allowed;
}
