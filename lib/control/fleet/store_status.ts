/** Store status: how a gateway reaches the store of its fleet's peers. */

/**
 * Seconds by which a gateway's clock may differ from another's: by more, the log of one cannot be read beside that of
 * the other, and access ends at the one before the other.
 */
export const CLOCK_TOLERANCE = 0.1;

/** Plain data: a part of `Status`, whose form is stable. */
export interface StoreStatus {
  /** As the configuration has them. */
  readonly servers: readonly string[];
  readonly connected: boolean;
  /** The one that answers; null while none does. */
  readonly server: string | null;
  /** On how many servers each peer is; null while none answers. */
  readonly replicas: number | null;
  /** When one last answered, RFC 3339, UTC; null for never. */
  readonly lastContact: string | null;
  /** Why none does; null while one does. */
  readonly problem: string | null;
  /** The last change that is known here; the same at each gateway that has it. Null where nothing is known. */
  readonly revision: string | null;
  /** Entries that are there and cannot be used. */
  readonly leftOut: number;
  /** Whether peers without a session get one. */
  readonly admitsNew: boolean;
  /** Null where the gateways have no address in common. */
  readonly virtualAddress: VirtualAddressStatus | null;
}

/** An address that the gateways of a fleet have by turns. */
export interface VirtualAddressStatus {
  /** As in `203.0.113.5`. */
  readonly address: string;
  /** The number of the gateway that has it; null where none has, or it is not known yet. */
  readonly holder: number | null;
  /** Whether that is this one. */
  readonly isHere: boolean;
  /** Whether this one takes it only where no other can have it. */
  readonly isDraining: boolean;
  /** By number, this one included. */
  readonly gateways: readonly FleetGatewayStatus[];
}

/** As in "0.4 s ahead": of a gateway's clock, where it differs by more than it should; null where it does not. */
export function clockError(
  { clockOffset }: Pick<FleetGatewayStatus, "clockOffset">,
): string | null {
  if (clockOffset === null || Math.abs(clockOffset) <= CLOCK_TOLERANCE) return null;
  const seconds = Math.abs(clockOffset);
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s ${clockOffset > 0 ? "ahead" : "behind"}`;
}

export interface FleetGatewayStatus {
  readonly number: number;
  readonly name: string;
  /** Where it listens for the others. */
  readonly endpoint: string;
  readonly isSelf: boolean;
  /** Whether it is heard. */
  readonly isUp: boolean;
  /** Whether it takes the address only where no other can have it. */
  readonly isDraining: boolean;
  /** Seconds by which its clock is ahead of this gateway's; null where it is not heard. */
  readonly clockOffset: number | null;
}
