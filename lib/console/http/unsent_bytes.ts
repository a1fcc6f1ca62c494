/**
 * Unsent bytes: what of answers waits for those who have asked, who may read nothing, or little at a time: bounded for
 * all of them. In a full table the source with the most loses its oldest answer.
 */
import { FairShares } from "../../core/limits/fair_shares.ts";

/** Bytes in all, and of a place. The status of thousands of peers has some megabytes. */
export const MAX_UNSENT: number = 64 * 1024 * 1024;
const PLACE_SIZE = 64 * 1024;

/** An answer that can be given up. */
interface Answer {
  destroy(): unknown;
}

export class UnsentBytes {
  readonly #shares = new FairShares<string, Answer>({
    capacity: MAX_UNSENT / PLACE_SIZE,
    evict: (answer) => answer.destroy(),
  });

  /**
   * Bytes of an answer wait, until what is returned is disposed of.
   *
   * @param source as `sourceKey()` has it
   */
  hold(source: string, answer: Answer, length: number): Disposable {
    const count = Math.ceil(length / PLACE_SIZE);
    const places = Array.from({ length: count }, () => this.#shares.add(source, answer));
    return {
      [Symbol.dispose]: () => {
        for (const place of places) if (place !== null) this.#shares.remove(place);
      },
    };
  }
}
