/** Report: the results as text: the table for people, the object for programs. */
import type { Contender } from "./contenders/contender.ts";
import { type Figure, FIGURES, type Result, resultsOf } from "./figures.ts";
import type { Samples } from "./samples.ts";
import { formatNumber, formatTable } from "./table.ts";

/** A contender that a figure does not fit. */
export interface NotApplicable {
  readonly contender: string;
  readonly reason: string;
}

/** A figure with its results, as it stands in the JSON. */
export interface FigureReport extends Figure {
  readonly results: readonly Result[];
  readonly notApplicable: readonly NotApplicable[];
}

/** Those figures that have results; `contenders` tell which ones do not fit them. */
export function reportFigures(
  samples: Samples,
  contenders: readonly Pick<Contender, "name" | "unfit">[] = [],
): FigureReport[] {
  return FIGURES.map((figure) => ({
    ...figure,
    results: resultsOf(figure, samples),
    notApplicable: contenders.flatMap(({ name, unfit = {} }): NotApplicable[] => {
      const reason = unfit[figure.id];
      return reason === undefined ? [] : [{ contender: name, reason }];
    }),
  })).filter(({ results }) => results.length > 0);
}

/** The table: a block for each figure, a line for each contender. */
export function formatFigures(figures: readonly FigureReport[]): string {
  const rows = [["", "median", "min - max", "ratio", "at least", "aim"]];
  for (const figure of figures) {
    rows.push([""], [`${figure.title} (${figure.unit}, ${figure.better} is better)`]);
    rows.push(...figure.results.map((result) => resultRow(figure, result)));
    rows.push(...figure.notApplicable.map(({ contender, reason }) => [
      `  ${contender}: n/a, ${reason}`,
    ]));
  }
  return formatTable(rows, ["left", "right", "right", "right", "right", "right"]);
}

function resultRow(figure: Figure, { contender, summary, ratio, verdict }: Result): string[] {
  const number = (value: number) => formatNumber(value, figure.digits);
  const { target } = figure;
  const threshold = (value: number | undefined, reached: boolean | null) => {
    if (value === undefined || reached === null) return "";
    // A twentieth wants two digits.
    const digits = Number.isInteger(10 * value) ? 1 : 2;
    const text = target?.of === "ratio" ? `${formatNumber(value, digits)} x` : number(value);
    return `${text} ${reached ? "ok" : "MISSED"}`;
  };
  return [
    `  ${contender}`,
    number(summary.median),
    `${number(summary.min)} - ${number(summary.max)}`,
    ratio === null ? "" : `${formatNumber(ratio, 2)} x`,
    threshold(target?.atLeast, verdict.atLeast),
    threshold(target?.aim, verdict.aim),
  ];
}
