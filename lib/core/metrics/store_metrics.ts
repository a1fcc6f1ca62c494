/** Store metrics: how a gateway reaches the store of its fleet, and who has the address that they have by turns. */
import { gauge, type MetricFamily } from "./exposition.ts";

/** The store of a fleet's peers. */
export interface StoreSnapshot {
  readonly connected: boolean;
  /** Unix ms; 0 for never. */
  readonly lastContact: number;
  readonly leftOut: number;
  readonly admitsNew: boolean;
  /** Null where the gateways have none. */
  readonly virtualAddress: {
    readonly isHere: boolean;
    readonly gateways: readonly {
      readonly number: number;
      readonly name: string;
      readonly isSelf: boolean;
      readonly isUp: boolean;
      /** Seconds; null where it is not heard. */
      readonly clockOffset: number | null;
    }[];
  } | null;
}

export function storeMetrics(
  { connected, lastContact, leftOut, admitsNew, virtualAddress }: StoreSnapshot,
): MetricFamily[] {
  return [
    gauge("vpn_store_connected", "Whether the peers' store answers.", [{
      value: Number(connected),
    }]),
    gauge("vpn_store_last_contact_timestamp_seconds", "Last answer of the store; 0 if none.", [
      { value: lastContact / 1000 },
    ]),
    gauge("vpn_store_left_out", "Unusable entries of the store.", [{ value: leftOut }]),
    gauge(
      "vpn_store_admits_new_sessions",
      "Whether peers without a session get one; 0 when the store has been away for longer than StoreGrace.",
      [{ value: Number(admitsNew) }],
    ),
    ...virtualAddress === null ? [] : [
      gauge("vpn_virtual_address_held", "Whether this gateway has the virtual address.", [
        { value: Number(virtualAddress.isHere) },
      ]),
      gauge("vpn_fleet_gateways", "Gateways of the fleet, this one included.", [
        { value: virtualAddress.gateways.length },
      ]),
      gauge("vpn_fleet_gateways_up", "Those of them that are heard.", [
        { value: virtualAddress.gateways.filter(({ isUp }) => isUp).length },
      ]),
      gauge(
        "vpn_fleet_clock_offset_seconds",
        "By how much another gateway's clock is ahead of this one's.",
        virtualAddress.gateways.flatMap(({ number, name, isSelf, clockOffset }) =>
          isSelf || clockOffset === null
            ? []
            : [{ labels: { gateway: `${number}`, name }, value: clockOffset }]
        ),
      ),
    ],
  ];
}
