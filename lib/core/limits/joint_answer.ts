/** Joint answer: what many ask for at a time is found out once for all of them. */

/**
 * The question, put once at a time: those who ask while an answer is under way have the next one, which they share. So
 * none is older than its question, and however many ask, two are waited for at most.
 */
export function joint<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | null = null;
  let next: Promise<T> | null = null;
  const begin = (): Promise<T> => {
    next = null;
    const answer = underWay = Promise.try(ask);
    const end = () => {
      if (underWay === answer) underWay = null;
    };
    answer.then(end, end);
    return answer;
  };
  return () => {
    if (next !== null) return next;
    if (underWay === null) return begin();
    return next = underWay.then(begin, begin);
  };
}
