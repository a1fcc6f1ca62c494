/** Shared answers: callers who ask the same question at about the same time get one answer. */

/**
 * The question, put only where no answer is under way and the last one is older than `lifetime` ms. An error is an
 * answer, too.
 */
export function shared<T>(
  ask: () => Promise<T>,
  { lifetime, now }: { readonly lifetime: number; readonly now: () => number },
): () => Promise<T> {
  let answer: Promise<T> | null = null;
  let goodUntil = Infinity;
  return () => {
    if (answer === null || now() > goodUntil) {
      goodUntil = Infinity;
      answer = ask().finally(() => goodUntil = now() + lifetime);
    }
    return answer;
  };
}
