/** A long list of rows of one height, of which only those in sight are made. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/** Rows that are made beyond what is in sight, so that none is missing while one scrolls. */
const BEYOND = 6;

export interface Window {
  readonly first: number;
  /** Behind the last. */
  readonly end: number;
}

/** Which rows are to be made. All in pixels, but for `count`. */
export function windowOf(
  { top, height, rowHeight, count }: {
    readonly top: number;
    readonly height: number;
    readonly rowHeight: number;
    readonly count: number;
  },
): Window {
  const last = Math.max(0, count - Math.ceil(height / rowHeight));
  const first = Math.min(last, Math.max(0, Math.floor(top / rowHeight))) - BEYOND;
  const end = Math.ceil((top + height) / rowHeight) + BEYOND;
  return { first: Math.max(0, first), end: Math.min(count, Math.max(end, 0)) };
}

interface VirtualRowsProps {
  readonly label: string;
  readonly count: number;
  readonly rowHeight: number;
  readonly header: ComponentChildren;
  /** Makes the row at `index`, from 0. */
  readonly row: (index: number) => ComponentChildren;
}

/** A table for readers of the screen, whose rows have their numbers; it scrolls inside its box. */
export function VirtualRows(
  { label, count, rowHeight, header, row }: VirtualRowsProps,
): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState({ top: 0, height: 800 });
  useEffect(() => {
    const element = box.current!;
    const look = () => setSight({ top: element.scrollTop, height: element.clientHeight });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const watch = new ResizeObserver(look);
    watch.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      watch.disconnect();
    };
  }, []);
  const { first, end } = windowOf({ ...sight, rowHeight, count });
  const indexes = Array.from({ length: end - first }, (_, index) => first + index);
  return (
    <div class="rows-box" ref={box} tabIndex={0} role="group" aria-label={`${label}, scrolls`}>
      <div role="table" aria-label={label} aria-rowcount={count + 1}>
        <div role="rowgroup" class="rows-head">{header}</div>
        <div role="rowgroup" class="rows" style={{ height: `${count * rowHeight}px` }}>
          <div style={{ transform: `translateY(${first * rowHeight}px)` }} role="presentation">
            {indexes.map(row)}
          </div>
        </div>
      </div>
    </div>
  );
}
