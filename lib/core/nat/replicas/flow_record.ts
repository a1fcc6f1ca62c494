/** Flow record: what another NAT has to know of a flow to go on with it. */

export interface FlowRecord {
  /** TCP or UDP. */
  protocol: number;
  /** Whether its port is shared with flows to other remote ends. */
  isShared: boolean;
  /** What of it has been seen, as `NatSession.seen`. */
  seen: number;
  externalPort: number;
  /** Signed. */
  innerAddress: number;
  innerPort: number;
  /** Signed; 0, with port 0, of UDP on a port of its own, which stands for all remote ends. */
  remoteAddress: number;
  remotePort: number;
  /** ms for which it is kept unused. */
  timeLeft: number;
}

/** One to be written over again and again. */
export function emptyFlowRecord(): FlowRecord {
  return {
    protocol: 0,
    isShared: false,
    seen: 0,
    externalPort: 0,
    innerAddress: 0,
    innerPort: 0,
    remoteAddress: 0,
    remotePort: 0,
    timeLeft: 0,
  };
}
