/** Charts of two series over time, received and sent, by uPlot. */
import uPlot from "uplot";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { theme } from "../state/theme.ts";

/** Unix s, and two values at each. */
export type ChartData = readonly [
  times: readonly number[],
  received: readonly number[],
  sent: readonly number[],
];

interface ChartProps {
  readonly label: string;
  readonly data: ChartData;
  readonly kind: "lines" | "bars";
  readonly height: number;
  readonly text: (value: number) => string;
  /** s that a bar stands for, or that all of a line does. */
  readonly step?: number;
}

export function Chart(props: ChartProps): JSX.Element {
  const { label, data, kind, height, text, step } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  // Colours are read once, so another theme needs another plot; so does the system's change of mind.
  const themed = theme.value;
  useEffect(() => {
    const element = box.current!;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(
        options(element, { kind, height, text, step: step ?? 1 }),
        drawn(data, kind),
        element,
      );
    };
    make();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    const watch = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth, height });
    });
    watch.observe(element);
    return () => {
      dark.removeEventListener("change", make);
      watch.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [kind, height, step, themed]);
  useEffect(() => {
    plot.current?.setData(drawn(data, kind));
  });
  return <div class="chart" ref={box} role="img" aria-label={label} />;
}

/**
 * What is drawn: uPlot keeps its arrays, and the model goes on to change its own. Bars stand on each other, so the
 * whole is drawn first and what was received in front of it.
 */
function drawn([times, received, sent]: ChartData, kind: ChartProps["kind"]): uPlot.AlignedData {
  if (kind === "lines") return [[...times], [...received], [...sent]];
  return [[...times], sent.map((value, index) => value + received[index]!), [...received]];
}

type Look = Required<Pick<ChartProps, "kind" | "height" | "text" | "step">>;

function options(box: HTMLElement, { kind, height, text, step }: Look): uPlot.Options {
  const colour = (name: string) => colourOf(box, name);
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
  };
  const isBars = kind === "bars";
  const series = (label: string, name: string, isWhole: boolean): uPlot.Series => ({
    label,
    stroke: colour(name),
    fill: isBars ? colour(name) : translucent(colour(name), 0.1),
    width: isBars ? 0 : 1.6,
    points: { show: false },
    // Where nothing is pointed at, it is the newest.
    value: (plot, _, own, at) => {
      const index = at ?? plot.data[0].length - 1;
      const value = plot.data[own]?.[index];
      if (value === null || value === undefined) return "–";
      return text(value - (isWhole ? plot.data[own + 1]![index]! : 0));
    },
    ...isBars ? { paths: uPlot.paths.bars!({ size: [0.7, 36] }) } : {},
  });
  const received = series("Received", "--accent", false);
  const sent = series("Sent", "--good", isBars);
  return {
    width: box.clientWidth,
    height,
    series: [
      {
        label: "Time",
        value: (plot, time) => {
          const shown = time ?? plot.data[0].at(-1);
          return shown === undefined ? "–" : momentText(shown, step);
        },
      },
      ...isBars ? [sent, received] : [received, sent],
    ],
    axes: [
      { ...axis, space: 70, size: 28, values: AXIS_TIMES },
      { ...axis, size: 82, space: 34, values: (_, values) => values.map(text) },
    ],
    scales: {
      x: isBars
        ? { range: (_, from, to) => [from - step / 2, Math.max(to, from + step) + step / 2] }
        // As long from the start on, so that a line moves and does not shrink.
        : { range: (_, _from, to = Date.now() / 1000) => [to - step, to] },
      y: { range: (_, _from, to) => [0, to > 0 ? to * 1.12 : 1_000] },
    },
    legend: { live: true },
    // Hours, days and months are those of the accounts.
    ...isBars ? { tzDate: (time: number) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC") } : {},
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    padding: [10, 28, 8, 0],
  };
}

/** By the distance between marks, in s: what they say, without a second line. */
const AXIS_TIMES: uPlot.Axis.Values = [
  [86_400 * 28, "{MMM} {YYYY}", null, null, null, null, null, null, 1],
  [86_400, "{D} {MMM}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", null, null, null, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
];

function momentText(time: number, step: number): string {
  const two = (value: number) => `${value}`.padStart(2, "0");
  const date = new Date(time * 1000);
  if (step >= 86_400) return date.toISOString().slice(0, 10);
  // An hour of the accounts' day.
  if (step === 3_600) return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** What a colour of the style comes to here, light or dark; a canvas knows no variables. */
function colourOf(box: HTMLElement, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  box.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function translucent(colour: string, alpha: number): string {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}
