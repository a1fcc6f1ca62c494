/** Status of published services, for people and programs. */

/** `absent`: nowhere; `unchecked`: there, as far as anybody knows. */
export type BackEndState = "up" | "down" | "drained" | "absent" | "unchecked";

/** A service, for people and programs. */
export interface ServiceStatus {
  /** As in `tcp:443` or `tcp:203.0.113.7:443`. */
  readonly name: string;
  readonly method: "hash" | "least";
  readonly backEnds: readonly BackEndStatus[];
}

export interface BackEndStatus {
  /** As it is configured, as in `web-1:8443`. */
  readonly name: string;
  /** As in `10.66.77.2:8443`; null while it is nowhere. */
  readonly address: string | null;
  readonly isOutside: boolean;
  readonly state: BackEndState;
  /** Why it is down or absent; null where it is neither. */
  readonly reason: string | null;
  /** Flows that it has, and that it was given in all; 0 where they are not counted, as there is no choice. */
  readonly connections: number;
  readonly totalConnections: number;
}
