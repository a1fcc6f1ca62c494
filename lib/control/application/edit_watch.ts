/** Edit watch: a person is told that a gateway's file was edited, and what of it is not in effect. */
import type { PeerStore } from "../../core/peers/peer_store.ts";
import { guarded } from "../../process/guard.ts";
import { type GatewayQuestions, pendingIn } from "./methods_of_gateway.ts";

/**
 * Watches until it is disposed of. What a gateway has written itself is in effect, and so no edit.
 *
 * @param tell is called with what is not, in words, each time that it is something else
 */
export function watchEdits(
  store: Pick<PeerStore, "watch">,
  reloader: GatewayQuestions["reloader"],
  tell: (what: string) => void,
): Disposable {
  let last = "";
  return store.watch(guarded("control", "following edits of the configuration", async () => {
    const { pending, restart, problem } = await pendingIn(reloader);
    const waiting = restart.map((key) => `${key} from the next start`);
    const what = problem ?? [...pending, ...waiting].join(", ");
    if (what === last) return;
    last = what;
    if (what !== "") tell(what);
  }));
}
