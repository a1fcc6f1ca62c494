/** Client states: those that the machine of a client's connection may be in. */
import type { ClientAction, ServerRoute } from "./client_action.ts";

/** Why a client connects, which decides what follows when it has, and when it has not. */
export type Purpose = "first" | "again" | "move";

/** One attempt, at one endpoint after the other. */
export interface Attempt {
  /** To the endpoint that is tried now: one after the other, they share the time until the deadline. */
  readonly routes: readonly ServerRoute[];
  readonly deadline: number;
  /** Those to each endpoint that is tried after it. */
  readonly further: readonly (readonly ServerRoute[])[];
  /** Of the route that is tried now. */
  readonly index: number;
}

export type ClientState =
  | { readonly kind: "idle" }
  | { readonly kind: "looking-up"; readonly id: number }
  /** The transport of the route is being prepared. */
  | {
    readonly kind: "preparing";
    readonly id: number;
    readonly attempt: Attempt;
    readonly time: number;
  }
  | { readonly kind: "trying"; readonly attempt: Attempt; readonly until: number }
  /** The last attempt failed; an answer may still come, as the protocol's own repetitions go on. */
  | { readonly kind: "pausing"; readonly until: number }
  | { readonly kind: "up" }
  /** Lost before the host was set up: acted on when it is. */
  | { readonly kind: "lost-early" }
  | { readonly kind: "ended" };

/** Whether the attempt that is under way in a state cannot go on without this action. */
export function dependsOn(state: ClientState, action: ClientAction): boolean {
  switch (action.kind) {
    case "look-up":
      return state.kind === "looking-up" && state.id === action.id;
    case "use-transport":
      return state.kind === "preparing" && state.id === action.id;
    case "set-server":
    case "set-endpoint":
    case "initiate":
      return state.kind === "preparing" || state.kind === "trying";
    default:
      return false;
  }
}
