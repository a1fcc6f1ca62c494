/** Tests of the conversation in `ffi/netlink/socket.ts`, with a libc that follows a script. */
import {
  EAGAIN,
  EEXIST,
  EINTR,
  EMSGSIZE,
  ENOBUFS,
  ENOENT,
  EPERM,
  SystemCallError,
} from "../../../../ffi/errno.ts";
import { MessageBuilder, NLMSGHDR } from "../../../../ffi/netlink/message.ts";
import { NETLINK_ROUTE, NetlinkError, NetlinkSocket } from "../../../../ffi/netlink/socket.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import {
  message,
  type Reply,
  ScriptedKernel,
  together,
} from "../../../support/packets/scripted_kernel.ts";

const ERROR = 2;
const DONE = 3;
const DUMP_INTERRUPTED = 0x12;
/** `struct nlmsgerr` with error 0, capped. */
const ACKNOWLEDGED = message(ERROR, `00000000 ${"00".repeat(16)}`, { flags: 0x100 });
const FINISHED = message(DONE, "00000000", { flags: 2 });
const open = (kernel: ScriptedKernel) =>
  NetlinkSocket.open(kernel.libc(), { protocol: NETLINK_ROUTE });
const anyRequest = () => new MessageBuilder(24, 0);

/** The little-endian `int` for an error in an acknowledgement. */
function errorBytes(errno: number): string {
  return (-errno >>> 0).toString(16).match(/../g)!.reverse().join("");
}

Deno.test("request() returns the answers before the acknowledgement", () => {
  const kernel = new ScriptedKernel(
    message(24, "01000000"),
    together(message(24, "02000000"), ACKNOWLEDGED),
  );
  const answers = open(kernel).request(anyRequest(), "try");
  assertEquals(answers.map((answer) => answer.body[0]), [1, 2]);
  assert(kernel.finished);
  // NLM_F_REQUEST | NLM_F_ACK
  assertEquals(NLMSGHDR.read(kernel.requests[0], 0).flags, 0x5);
});

Deno.test("request() passes over answers to other requests and interruptions", () => {
  const late = message(ERROR, `${errorBytes(EEXIST)} ${"00".repeat(16)}`, {
    flags: 0x100,
    offset: -1,
  });
  const kernel = new ScriptedKernel(EINTR, late, together(late, ACKNOWLEDGED));
  assertEquals(open(kernel).request(anyRequest(), "try"), []);
});

Deno.test("request() numbers its requests one after the other", () => {
  const kernel = new ScriptedKernel(ACKNOWLEDGED, ACKNOWLEDGED);
  const socket = open(kernel);
  socket.request(anyRequest(), "try");
  socket.request(anyRequest(), "try");
  const [first, second] = kernel.requests.map((bytes) => NLMSGHDR.read(bytes, 0).sequence);
  assertEquals(second, first + 1);
});

Deno.test("request() throws the error with the kernel's explanation, capped or not", () => {
  const text = "0c00 0100 4e6f207761792100"; // NLMSGERR_ATTR_MSG: "No way!"
  const capped = message(ERROR, `${errorBytes(EEXIST)} 1c000000 ${"00".repeat(12)} ${text}`, {
    flags: 0x300,
  });
  // Uncapped: the whole request of 28 bytes stands before the attributes.
  const whole = message(
    ERROR,
    `${errorBytes(EEXIST)} 1c000000 ${"00".repeat(12)} ${"ee".repeat(12)} ${text}`,
    { flags: 0x200 },
  );
  for (const reply of [capped, whole]) {
    const error = assertThrows(
      () => open(new ScriptedKernel(reply)).request(anyRequest(), "add route"),
      NetlinkError,
    );
    assertEquals(error.message, "Cannot add route: file exists (EEXIST): No way!");
    assertEquals([error.errno, error.code, error.explanation], [EEXIST, "EEXIST", "No way!"]);
    assert(error instanceof SystemCallError);
  }
});

Deno.test("request() says what EPERM takes", () => {
  const kernel = new ScriptedKernel(
    message(ERROR, `${errorBytes(EPERM)} ${"00".repeat(16)}`, { flags: 0x100 }),
  );
  const error = assertThrows(() => open(kernel).request(anyRequest(), "add route"), NetlinkError);
  assertEquals(
    error.message,
    "Cannot add route: operation not permitted (EPERM); it requires CAP_NET_ADMIN (root has it)",
  );
});

Deno.test("dump() joins the parts up to the end", () => {
  const part = (byte: string) => message(24, `${byte}000000`, { flags: 2 });
  const kernel = new ScriptedKernel(
    together(part("01"), part("02")),
    together(part("03"), FINISHED),
  );
  const answers = open(kernel).dump(anyRequest(), "list");
  assertEquals(answers.map((answer) => answer.body[0]), [1, 2, 3]);
  // NLM_F_REQUEST | NLM_F_DUMP
  assertEquals(NLMSGHDR.read(kernel.requests[0], 0).flags, 0x301);
});

Deno.test("dump() starts again when the table changed meanwhile", () => {
  const torn = message(24, "01000000", { flags: DUMP_INTERRUPTED });
  const kernel = new ScriptedKernel(
    torn,
    FINISHED,
    together(message(24, "02000000", { flags: 2 }), FINISHED),
  );
  const answers = open(kernel).dump(anyRequest(), "list");
  assertEquals(answers.map((answer) => answer.body[0]), [2]);
  assertEquals(kernel.requests.length, 2);
});

Deno.test("dump() gives up when the table never stands still", () => {
  const torn = message(DONE, "00000000", { flags: DUMP_INTERRUPTED });
  const kernel = new ScriptedKernel(...new Array<Reply>(20).fill(torn));
  const error = assertThrows(() => open(kernel).dump(anyRequest(), "list routes"), NetlinkError);
  assertEquals(error.errno, EAGAIN);
  assert(kernel.finished);
});

Deno.test("dump() throws the error that its end or an acknowledgement carries", () => {
  for (const type of [ERROR, DONE]) {
    const reply = message(type, `${errorBytes(ENOENT)} ${"00".repeat(16)}`, { flags: 0x102 });
    const kernel = new ScriptedKernel(together(message(24, "01000000", { flags: 2 }), reply));
    const error = assertThrows(() => open(kernel).dump(anyRequest(), "list"), NetlinkError);
    assertEquals(error.errno, ENOENT);
  }
});

Deno.test("receive() returns null when nothing is there, and throws for losses", () => {
  const tooLarge: Reply = () => new Uint8Array(70000);
  const kernel = new ScriptedKernel(EAGAIN, ENOBUFS, tooLarge);
  const socket = open(kernel);
  assertEquals(socket.receive(), null);
  assertEquals(assertThrows(() => socket.receive(), SystemCallError).errno, ENOBUFS);
  assertEquals(assertThrows(() => socket.receive(), SystemCallError).errno, EMSGSIZE);
});

Deno.test("receive() returns bodies that later receives leave alone", () => {
  const kernel = new ScriptedKernel(message(24, "01000000"), message(24, "02000000"));
  const socket = open(kernel);
  const first = socket.receive();
  socket.receive();
  assertEquals(first?.[0].body[0], 1);
});

Deno.test("open() asks for explanations, capped acknowledgements and a large queue", () => {
  const kernel = new ScriptedKernel();
  open(kernel);
  assertEquals(kernel.options, ["270/11=1", "270/10=1", "1/33=4194304"]);
});

Deno.test("open() closes the descriptor when it fails half-way, disposal closes it once", () => {
  const failing = new ScriptedKernel();
  failing.connectError = EPERM;
  assertThrows(() => open(failing), SystemCallError, "Cannot connect netlink socket");
  assertEquals(failing.closed, [5]);

  const kernel = new ScriptedKernel();
  const socket = open(kernel);
  socket[Symbol.dispose]();
  socket[Symbol.dispose]();
  assertEquals(kernel.closed, [5]);
});
