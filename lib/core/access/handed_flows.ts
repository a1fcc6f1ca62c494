/**
 * Handed flows: what the host of another gateway, or somebody outside by it, has begun with a client here. Answers of
 * the client go back to that gateway, which knows what they are about; here, the host would refuse them.
 *
 * A table of fixed size in which clients have shares. An answer that is known costs a look-up, what a client sends that
 * has no such flow a comparison.
 */
import { FlowTable } from "./flow_table.ts";
import { PacketFacts } from "./packet_facts.ts";
import * as ipv4 from "../wire/ipv4.ts";

const CAPACITY = 1 << 14;
/** Clients are counted to as many owners. */
const OWNERS = 1 << 12;
/** Seconds after the last packet from the other gateway: RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2. */
const TIMEOUT = 300;
const TCP_TIMEOUT = 7_440;
const ICMP_TIMEOUT = 60;

export class HandedFlows {
  readonly #view: DataView;
  readonly #facts = new PacketFacts();
  readonly #flows: FlowTable;
  /** By the owner of a client: whether it has ever had a flow. */
  readonly #isUsed = new Uint8Array(OWNERS);

  /** @param seed 32 random bits */
  constructor(view: DataView, seed: number) {
    this.#view = view;
    this.#flows = new FlowTable({ capacity: CAPACITY, owners: OWNERS, seed });
  }

  /**
   * Takes note of a packet for a client, which has passed the checks of its family.
   *
   * @param client its index
   */
  note(client: number, packet: number, gateway: number, now: number): void {
    const facts = this.#facts;
    facts.read(this.#view, packet);
    if (facts.isLater || facts.isIcmpError) return;
    facts.nameFlow();
    const owner = client & (OWNERS - 1);
    const flow = this.#flows.find(facts.key) || this.#flows.add(facts.key, owner);
    this.#isUsed[owner] = 1;
    this.#flows.setState(flow, gateway);
    this.#flows.use(flow, ((now / 1000) | 0) + timeoutOf(facts.protocol));
  }

  /** The gateway that a packet of a client's goes back to; -1 for none. */
  gatewayOf(client: number, packet: number, now: number): number {
    if (this.#isUsed[client & (OWNERS - 1)] === 0) return -1;
    const facts = this.#facts;
    facts.read(this.#view, packet);
    if (facts.isLater || facts.isIcmpError || facts.asksForConnection) return -1;
    facts.nameFlow();
    const flow = this.#flows.find(facts.key);
    if (flow === 0 || now / 1000 >= this.#flows.end(flow)) return -1;
    return this.#flows.state(flow);
  }
}

function timeoutOf(protocol: number): number {
  if (protocol === ipv4.PROTOCOL_TCP) return TCP_TIMEOUT;
  return protocol === ipv4.PROTOCOL_ICMP ? ICMP_TIMEOUT : TIMEOUT;
}
