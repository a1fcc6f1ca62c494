/** Tests of `ffi/socket_options.ts`: the bytes that the kernel is given. */
import { EPERM, SystemCallError } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { SO_MARK, SO_RCVTIMEO, SOL_SOCKET } from "../../../ffi/socket_constants.ts";
import { limitTime, requireOption, setOption } from "../../../ffi/socket_options.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

interface Recorded {
  readonly libc: Libc;
  /** Level, option and value of each call. */
  readonly calls: [level: number, option: number, value: string][];
}

/** libc whose `setsockopt` gives `result`, and reaches no kernel. */
function recorded(result: number): Recorded {
  const real = openLibc();
  const calls: Recorded["calls"] = [];
  const setsockopt: Libc["symbols"]["setsockopt"] = (_fd, level, option, value, length) => {
    calls.push([level, option, (value as Uint8Array).subarray(0, length).toHex()]);
    return result;
  };
  return { libc: { symbols: { ...real.symbols, setsockopt }, errno: () => EPERM }, calls };
}

hostTest(
  "setOption() gives four bytes, of unsigned values too, and tells whether they were taken",
  () => {
    const { libc, calls } = recorded(0);
    assertEquals(
      setOption(libc, 3, { level: SOL_SOCKET, option: SO_MARK, value: 0xfeed_0001 }),
      true,
    );
    assertEquals(calls, [[1, 36, "0100edfe"]]);
    const refused = recorded(-1).libc;
    assertEquals(setOption(refused, 3, { level: SOL_SOCKET, option: SO_MARK, value: 1 }), false);
  },
);

hostTest("requireOption() throws what the kernel refused, and for what it was", () => {
  const { libc } = recorded(-1);
  const mark = { level: SOL_SOCKET, option: SO_MARK, value: 1 };
  assertThrows(
    () => requireOption(libc, 3, mark, "mark a socket"),
    SystemCallError,
    "mark a socket",
  );
});

for (
  const [milliseconds, value] of [
    [2_500, "0200000000000000" + "20a1070000000000"],
    [1, "0000000000000000" + "e803000000000000"],
    // All zero would be no limit at all.
    [0.0001, "0000000000000000" + "0100000000000000"],
  ] as const
) {
  hostTest(`limitTime() writes ${milliseconds} ms as struct timeval`, () => {
    const { libc, calls } = recorded(0);
    limitTime(libc, 3, { option: SO_RCVTIMEO, milliseconds }, "limit a socket");
    assertEquals(calls, [[1, 20, value]]);
  });
}
