/** Who is logged in here, and what the account may do. */
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { call, get, messageOf } from "./api.ts";
import type { Account, AccountRole, PageSession } from "./shapes.ts";

const state = signal<PageSession | null>(null);
const trouble = signal<string | null>(null);

/** Null before the console has said. */
export const session: ReadonlySignal<PageSession | null> = state;
/** Why that cannot be known. */
export const sessionTrouble: ReadonlySignal<string | null> = trouble;

const RANKS: Readonly<Record<AccountRole, number>> = { viewer: 0, operator: 1, admin: 2 };

const rank = computed(() => {
  const account = state.value?.account ?? null;
  return account === null ? -1 : RANKS[account.role];
});
/** Whether the account may change peers, and everything. */
export const mayOperate: ReadonlySignal<boolean> = computed(() => rank.value >= 1);
export const mayAdminister: ReadonlySignal<boolean> = computed(() => rank.value >= 2);

export async function loadSession(): Promise<void> {
  try {
    state.value = await get<PageSession>("/session");
    trouble.value = null;
  } catch (error) {
    trouble.value = messageOf(error);
  }
}

/** After a login, or after the account has changed. */
export function setAccount(account: Account): void {
  const known = state.peek();
  if (known !== null) state.value = { ...known, isSetUp: true, account };
}

/** The session has ended, here or there. */
export function forgetAccount(): void {
  const known = state.peek();
  if (known !== null && known.account !== null) state.value = { ...known, account: null };
}

export async function logOut(): Promise<void> {
  try {
    await call("DELETE", "/session");
  } finally {
    forgetAccount();
  }
}
