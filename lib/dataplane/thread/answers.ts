/** Answers: who waits for what a thread was asked for, by the number of the request. */

export class Answers<T extends { readonly id: number }> {
  readonly #waiters = new Map<number, PromiseWithResolvers<T>>();
  #lastId = 0;

  /** Gives a request its number, and a promise of its answer. */
  expect(): { readonly id: number; readonly answer: Promise<T> } {
    const id = ++this.#lastId;
    const waiter = Promise.withResolvers<T>();
    this.#waiters.set(id, waiter);
    return { id, answer: waiter.promise };
  }

  take(answer: T): void {
    this.#taken(answer.id)?.resolve(answer);
  }

  refuse(id: number, error: Error): void {
    this.#taken(id)?.reject(error);
  }

  /** None will come any more. */
  fail(error: Error): void {
    for (const { reject } of this.#waiters.values()) reject(error);
    this.#waiters.clear();
  }

  #taken(id: number): PromiseWithResolvers<T> | undefined {
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    return waiter;
  }
}
