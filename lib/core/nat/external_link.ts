/** The external link of a gateway: the interface by which clients' packets leave for the outside. */

/** The interface that leads outside. */
export interface ExternalLink {
  readonly name: string;
  /** Its index. */
  readonly link: number;
  /** Bytes of its link-layer header. */
  readonly linkHeaderSize: number;
  /** Host order. */
  readonly address: number;
  /** Bytes. */
  readonly mtu: number;
}
