/** Direction of the NAT: what outbound and inbound translation work with; the fragments are the direction's own. */
import type { Flows } from "./flows.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Fragments } from "./fragments/fragments.ts";
import type { Headers } from "./headers/headers.ts";
import type { IcmpTranslator } from "./icmp/icmp_translation.ts";
import type { NatLink } from "./link.ts";
import type { PathLimits } from "./path_limits.ts";
import type { Relay } from "./services/relay.ts";
import type { Owners } from "./slices/owners.ts";

export interface Direction {
  readonly view: DataView;
  readonly headers: Headers;
  readonly outside: NatLink;
  readonly inside: NatLink;
  readonly forwarder: Forwarder;
  readonly flows: Flows;
  readonly icmp: IcmpTranslator;
  readonly limits: PathLimits;
  readonly fragments: Fragments;
  /** Null where all ports are this NAT's. */
  readonly owners: Owners | null;
  /** Null where no back end of a service is outside. */
  readonly relay: Relay | null;
}
