/** Line diff: which lines of a text have gone and which have come, in the order in which a person reads both. */

export interface DiffLine {
  readonly kind: "same" | "added" | "removed";
  readonly text: string;
}

/** Lines compared with lines at most; what differs by more is all of it removed and added. */
const MOST = 1_000_000;

/** As few changes as there can be (longest common subsequence), removals before what is added in their place. */
export function lineDiff(before: string, after: string): DiffLine[] {
  const [old, now] = [linesOf(before), linesOf(after)];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let end = 0;
  const most = Math.min(old.length, now.length) - start;
  while (end < most && old.at(-1 - end) === now.at(-1 - end)) end++;
  const of = (kind: DiffLine["kind"], lines: readonly string[]) =>
    lines.map((text): DiffLine => ({ kind, text }));
  return [
    ...of("same", old.slice(0, start)),
    ...middle(old.slice(start, old.length - end), now.slice(start, now.length - end)),
    ...of("same", old.slice(old.length - end)),
  ];
}

function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function middle(old: readonly string[], now: readonly string[]): DiffLine[] {
  const width = now.length + 1;
  const isBounded = old.length * width <= MOST;
  // Lines in common from each place on.
  const common = new Uint32Array(isBounded ? (old.length + 1) * width : 0);
  const at = (i: number, j: number) => common[i * width + j] ?? 0;
  for (let i = old.length - 1; isBounded && i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      common[i * width + j] = old[i] === now[j]
        ? at(i + 1, j + 1) + 1
        : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (isBounded && i < old.length && j < now.length && old[i] === now[j]) {
      lines.push({ kind: "same", text: old[i]! });
      i++;
      j++;
    } else if (i < old.length && (j === now.length || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ kind: "removed", text: old[i++]! });
    } else lines.push({ kind: "added", text: now[j++]! });
  }
  return lines;
}
