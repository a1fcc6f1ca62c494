/** Numbers that a run collects, and what is said of several of them: median and spread. */

/** What became of several rounds. */
export interface Summary {
  readonly median: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  /** In the order in which they were measured. */
  readonly values: readonly number[];
}

/** Numbers by figure and contender. */
export class Samples {
  readonly #values = new Map<string, Map<string, number[]>>();

  /** Adds one round's number. */
  add(figure: string, contender: string, value: number): void {
    const contenders = this.#values.get(figure) ?? new Map<string, number[]>();
    this.#values.set(figure, contenders);
    contenders.set(contender, [...contenders.get(contender) ?? [], value]);
  }

  /** The contenders that have numbers for a figure, in the order in which they came. */
  contenders(figure: string): string[] {
    return [...this.#values.get(figure)?.keys() ?? []];
  }

  /** What a contender's numbers say; null where it has none. */
  summary(figure: string, contender: string): Summary | null {
    const values = this.#values.get(figure)?.get(contender);
    return values === undefined ? null : summarize(values);
  }
}

/** Median, mean and spread of at least one number. */
export function summarize(values: readonly number[]): Summary {
  return {
    median: median(values),
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
    min: Math.min(...values),
    max: Math.max(...values),
    values,
  };
}

/** The middle of at least one number; between the two middle ones where their count is even. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Cannot take the median of nothing");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
