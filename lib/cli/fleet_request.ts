/** Fleet request: a command line of `vpn fleet` once it is parsed. */
import type { Subnet } from "../core/config/address_pool.ts";
import type { Endpoint, InterfaceConfig } from "../core/config/config.ts";
import type { NatsServer } from "../core/config/values/store_keys.ts";

/** What `vpn fleet` does. */
export type FleetRequest =
  | { readonly action: "status"; readonly watch: boolean; readonly configPath: string }
  | { readonly action: "import"; readonly configPath: string }
  | { readonly action: "key"; readonly file: string }
  | ({ readonly action: "init" } & FleetInitRequest)
  | ({ readonly action: "join" } & FleetJoinRequest)
  | ({ readonly action: "leave" } & FleetLeaveRequest)
  | FleetGatewayRequest;

export interface FleetInitRequest {
  /** Servers of NATS. */
  readonly nats: readonly NatsServer[];
  /** Where clients reach this gateway; null for what the file says. */
  readonly endpoint: Endpoint | null;
  readonly virtualAddress: InterfaceConfig["virtualAddress"];
  /** The network inside, where there is no file yet. */
  readonly subnet: Subnet;
  /** This one and those that are to join. */
  readonly gateways: number;
  /** The folder for what is carried elsewhere. */
  readonly out: string;
  readonly configPath: string;
}

export interface FleetJoinRequest {
  /** The token, the path of its file, or `-` for standard input. */
  readonly token: string;
  readonly endpoint: Endpoint | null;
  readonly overwrite: boolean;
  readonly configPath: string;
}

export interface FleetLeaveRequest {
  /** Its number or its name; null for the one on this host. */
  readonly gateway: string | null;
  /** Whether this host goes on with the peers, as a gateway by itself. */
  readonly keepPeers: boolean;
  readonly configPath: string;
}

export interface FleetGatewayRequest {
  readonly action: "drain" | "rebalance" | "remove";
  /** Its number or its name; null for the one on this host. */
  readonly gateway: string | null;
  readonly configPath: string;
}
