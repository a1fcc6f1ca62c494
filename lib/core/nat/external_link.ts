/** The external link of a gateway: the interface by which clients' packets leave for the outside. */
import type { HostAddress } from "../wire/host_address.ts";

/** The interface that leads outside; by IPv4 unless it is said of which family its address is. */
export interface ExternalLink<Address extends HostAddress = number> {
  readonly name: string;
  /** Its index. */
  readonly link: number;
  /** Bytes of its link-layer header. */
  readonly linkHeaderSize: number;
  /** The host's own there. */
  readonly address: Address;
  /** Bytes. */
  readonly mtu: number;
}
