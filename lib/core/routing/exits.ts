/** Exits: what the verdicts of egress rules come to for a packet. */
import type { EgressVerdict } from "../access/egress_rules.ts";
import { DropReason } from "../wire/drop_reason.ts";
import { RoutingVerdict } from "./routing_verdict.ts";

/** `RoutingVerdict.host`, `RoutingVerdict.outside`, or minus a drop reason. */
export interface Exit {
  readonly verdict: number;
}

/** @param outside what `pass` is: to the host, whose kernel forwards, or outside by the NAT */
export function exitsOf(outside: number): Readonly<Record<EgressVerdict, Exit>> {
  return {
    pass: { verdict: outside },
    host: { verdict: RoutingVerdict.host },
    private: { verdict: -DropReason.privateDestination },
    denied: { verdict: -DropReason.egressDenied },
    nowhere: { verdict: -DropReason.noEgress },
  };
}
