/** Short messages about what was done, or could not be. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { messageOf } from "./api.ts";

export interface Message {
  readonly id: number;
  readonly text: string;
  readonly isBad: boolean;
}

/** ms that a message stays. */
const STAYS = 6_000;
/** More would hide the page. */
const MOST = 4;

const shown = signal<readonly Message[]>([]);
export const messages: ReadonlySignal<readonly Message[]> = shown;
let last = 0;

export function announce(text: string, isBad = false): void {
  const id = ++last;
  shown.value = [...shown.peek(), { id, text, isBad }].slice(-MOST);
  setTimeout(() => dismiss(id), isBad ? STAYS * 2 : STAYS);
}

export function dismiss(id: number): void {
  shown.value = shown.peek().filter((each) => each.id !== id);
}

/** Does something, and says what came of it. Returns whether it was done. */
export async function attempt(action: () => Promise<unknown>, done?: string): Promise<boolean> {
  try {
    await action();
    if (done !== undefined) announce(done);
    return true;
  } catch (error) {
    announce(messageOf(error), true);
    return false;
  }
}
