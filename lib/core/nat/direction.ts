/** Direction of the NAT: what outbound and inbound translation work with; the fragments are the direction's own. */
import type { Flows } from "./flows.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Fragments } from "./fragments/fragments.ts";
import type { Headers } from "./headers/headers.ts";
import type { IcmpTranslator } from "./icmp/icmp_translation.ts";
import type { NatLink } from "./link.ts";
import type { PathLimits } from "./path_limits.ts";
import type { Resets } from "./replicas/resets.ts";
import type { Relay } from "./services/relay.ts";
import type { Owners } from "./slices/owners.ts";

export abstract class Direction {
  readonly view: DataView;
  readonly headers: Headers;
  readonly outside: NatLink;
  readonly inside: NatLink;
  readonly forwarder: Forwarder;
  readonly flows: Flows;
  readonly icmp: IcmpTranslator;
  readonly limits: PathLimits;
  readonly resets: Resets;
  readonly fragments: Fragments;
  /** Null where all ports are this NAT's. */
  readonly owners: Owners | null;
  /** Null where no back end of a service is outside. */
  readonly relay: Relay | null;

  constructor(parts: Direction) {
    this.view = parts.view;
    this.headers = parts.headers;
    this.outside = parts.outside;
    this.inside = parts.inside;
    this.forwarder = parts.forwarder;
    this.flows = parts.flows;
    this.icmp = parts.icmp;
    this.limits = parts.limits;
    this.resets = parts.resets;
    this.fragments = parts.fragments;
    this.owners = parts.owners;
    this.relay = parts.relay;
  }
}
