/**
 * Admission of connections to a server: who loses one when there are too many.
 *
 * Until something authenticated has come by a connection, it counts for its source address (of IPv6, for its /64), and
 * one who opens many loses his own oldest. Afterwards it counts for its client, and no stranger can take it away: a
 * NAT's address may have a hundred of them.
 */
import { FairShares } from "../../limits/fair_shares.ts";
import {
  MAX_FAKE_TCP_SESSIONS,
  MAX_SESSIONS_OF_CLIENT,
  MAX_UNPROVEN_OF_ADDRESS,
  MAX_UNPROVEN_SESSIONS,
} from "./constants.ts";
import { partyOf } from "./four_tuple.ts";
import type { Session } from "./session.ts";

export class ConnectionAdmission {
  readonly #seed: number;
  readonly #unproven: FairShares<number, Session>;
  readonly #proven: FairShares<object, Session>;

  /**
   * @param seed a number that nobody outside knows
   * @param evict is called with each connection that is to end
   */
  constructor(seed: number, evict: (session: Session) => void) {
    this.#seed = seed;
    this.#unproven = new FairShares({
      capacity: MAX_UNPROVEN_SESSIONS,
      share: MAX_UNPROVEN_OF_ADDRESS,
      evict,
    });
    this.#proven = new FairShares({
      capacity: MAX_FAKE_TCP_SESSIONS,
      share: MAX_SESSIONS_OF_CLIENT,
      evict,
    });
  }

  /** Takes in a connection that has just opened; another one may end for it. */
  add(session: Session): void {
    // Nothing of these is proven, so there is always one to be evicted.
    session.unprovenPlace = this.#unproven.add(partyOf(session, this.#seed), session);
  }

  /** Takes note that a connection is a client's; false where there is no room for more of those. */
  prove(session: Session, client: object): boolean {
    const place = this.#proven.add(client, session);
    if (place === null) return false;
    this.#proven.prove(place);
    session.provenPlace = place;
    this.release(session);
    return true;
  }

  /** Leaves a connection to the caller's own shares from now on. */
  release({ unprovenPlace }: Session): void {
    if (unprovenPlace !== null) this.#unproven.remove(unprovenPlace);
  }

  /** Takes note that a connection is over. */
  remove(session: Session): void {
    this.release(session);
    if (session.provenPlace !== null) this.#proven.remove(session.provenPlace);
  }
}
