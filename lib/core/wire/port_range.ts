/** Port range: ports in host order, both ends included. */

export interface PortRange {
  readonly first: number;
  readonly last: number;
}
