/** Store status: how a gateway reaches the store of its fleet's peers. */

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
}
