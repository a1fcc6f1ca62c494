/** Light, dark, or as the system has it: kept in this browser, and nowhere else. */
import { type ReadonlySignal, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const KEY = "theme";
const ORDER: readonly Theme[] = ["system", "light", "dark"];

const current = signal<Theme>("system");
export const theme: ReadonlySignal<Theme> = current;

export function restoreTheme(): void {
  const kept = localStorage.getItem(KEY);
  applyTheme(ORDER.find((each) => each === kept) ?? "system");
}

export function nextTheme(): void {
  const next = ORDER[(ORDER.indexOf(current.peek()) + 1) % ORDER.length]!;
  localStorage.setItem(KEY, next);
  applyTheme(next);
}

function applyTheme(next: Theme): void {
  current.value = next;
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
}
