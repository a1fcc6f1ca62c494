/** Store bucket: keys and values that several gateways share, as `SharedPeerStore` needs them of a server. */
import type { BucketEntry } from "../../core/fleet/store_mirror.ts";

export interface StoreBucket extends AsyncDisposable {
  /** Which server answers, and on how many each entry is. */
  readonly server: string;
  readonly replicas: number;
  /** Why it is of no use any more. */
  readonly closed: Promise<string>;

  /**
   * Tells of all entries as they are, in the order of their revisions, and from then on of each new one.
   *
   * @returns when all that there were have been told
   */
  follow(onEntry: (entry: BucketEntry) => void): Promise<void>;

  /** The revision of an entry, of one that is gone as well; 0 where there never was one. */
  revisionOf(key: string): Promise<number>;

  /**
   * Writes an entry.
   *
   * @param value null to delete it
   * @param expected the revision that it has; 0: there never was one
   * @returns its revision now; null where it had another, with nothing written
   * @throws {Error} where it is not known whether it is written
   */
  put(key: string, value: Uint8Array<ArrayBuffer> | null, expected: number): Promise<number | null>;
}
