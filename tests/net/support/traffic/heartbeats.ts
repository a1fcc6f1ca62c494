/** Waiting until both ends of an idle tunnel by UDP have learned that the other is ours. */
import type { TestNamespace } from "../../../support/net.ts";
import { capture, HEARTBEAT_FILTER } from "./traffic.ts";
import { CABLE, SERVER_OUTSIDE } from "../wire.ts";

/** Programs that a test which waits for heartbeats needs. */
export const HEARTBEAT_PROGRAMS: readonly string[] = ["tcpdump"];

/** One would do. */
const ANSWERS = 1;

/** Resolves when the server has answered so many heartbeats of the client's that each knows of the other. */
export async function heartbeatsAnswered(client: TestNamespace): Promise<void> {
  await using answers = await capture(
    client,
    CABLE,
    `src host ${SERVER_OUTSIDE} and ${HEARTBEAT_FILTER}`,
  );
  await answers.waitForCount(ANSWERS);
}
