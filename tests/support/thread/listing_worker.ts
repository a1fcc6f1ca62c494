/** A thread that tells of each message that it gets its first byte and its length, until the channel is closed. */
import { openLibc } from "../../../ffi/libc.ts";
import { MAX_MESSAGE_SIZE, receiveMessage } from "../../../ffi/sockets/wake_channel.ts";
import { runThread } from "../../../lib/dataplane/thread/run_thread.ts";

/** ms between two looks at the channel. */
const PAUSE = 1;

export interface TakenReport {
  readonly kind: "taken";
  readonly first: number;
  readonly length: number;
}

runThread<{ commandFd: number }, TakenReport>(({ commandFd }, report) => {
  const libc = openLibc();
  const buffer = new Uint8Array(MAX_MESSAGE_SIZE);
  const never = new Int32Array(new SharedArrayBuffer(4));
  return {
    run() {
      for (;;) {
        const message = receiveMessage(libc, commandFd, buffer);
        if (message === null) Atomics.wait(never, 0, 0, PAUSE);
        else if (message.length === 0) return;
        else report({ kind: "taken", first: message[0], length: message.length });
      }
    },
    [Symbol.dispose]() {},
  };
});
