/** Sparklines: how a rate went, without axes. */
import type { JSX } from "preact";

const WIDTH = 100;
const HEIGHT = 24;

/** Paths of the line and of the area under it; null where nothing has passed. The newest value is at the right. */
export function sparkPaths(
  values: readonly number[],
  room: number,
): { readonly line: string; readonly area: string } | null {
  const most = Math.max(...values, 0);
  if (values.length < 2 || most === 0) return null;
  const step = WIDTH / (room - 1);
  const first = WIDTH - step * (values.length - 1);
  const points = values.map((value, index) =>
    `${(first + step * index).toFixed(1)} ${
      (HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)
    }`
  );
  const line = `M${points.join("L")}`;
  return { line, area: `${line}V${HEIGHT}H${first.toFixed(1)}Z` };
}

interface SparklineProps {
  readonly values: readonly number[];
  /** How many values are shown when there are enough. */
  readonly room: number;
  readonly height?: number;
}

export function Sparkline({ values, room, height = HEIGHT }: SparklineProps): JSX.Element {
  const paths = sparkPaths(values, room);
  return (
    <svg
      class="spark"
      width="100%"
      height={height}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {paths === null ? <path class="stroke" d={`M0 ${HEIGHT - 1}H${WIDTH}`} opacity="0.3" /> : (
        <>
          <path class="fill" d={paths.area} />
          <path class="stroke" d={paths.line} />
        </>
      )}
    </svg>
  );
}
