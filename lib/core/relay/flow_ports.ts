/**
 * Flow ports: the UDP end of a relay: one port that all clients write to, or, before a service, a port for each flow.
 */
import type { DatagramPort } from "../engine/ports.ts";
import type { RelayFlow } from "./relay_flows.ts";

export interface FlowPorts {
  /** The path by which all flows' datagrams go; null where each goes to its own far end. */
  readonly target: number | null;
  /** Looks which ports can be read; returns how many, each to be had by `ready()`. */
  wait(): number;
  /** Port `index` of the last `wait()`; null where it has been closed since. */
  ready(index: number): DatagramPort | null;
  /** Whose port it is; null for that of all. */
  flowOf(port: DatagramPort): RelayFlow | null;
  /** The port by which a flow's datagrams leave, opened if need be; null where the kernel refuses one. */
  portOf(flow: RelayFlow): DatagramPort | null;
  /** Closes the port of a flow, if it has one of its own. */
  close(flow: RelayFlow): void;
  /** Has the loop woken, or not, when there is something to receive. */
  awaitPackets(isAwaited: boolean): void;
}
