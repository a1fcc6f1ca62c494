/** Tests of a webhook's message and of how it is sent. */
import {
  openWebhookClient,
  postWebhook,
  signatureHeaders,
  webhookMessage,
} from "../../../../lib/services/webhooks/webhook_request.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const NEVER = new AbortController().signal;

Deno.test("a message is signed as Standard Webhooks has it", () => {
  // The example in the libraries of svix.
  const secret = Uint8Array.from(atob("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), (c) => c.charCodeAt(0));
  assertEquals(
    signatureHeaders('{"test": 2432232314}', {
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
      time: 1614265330,
      secret,
    }),
    {
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
  );
});

Deno.test("an event has its own time and an id that stays, a message the time that it is sent", () => {
  const event = {
    id: 7,
    time: 86_400_000,
    kind: "endpoint-changed",
    peer: "KEY=",
    name: "laptop",
    detail: "192.0.2.1:5",
  };
  const context = { gateway: "vpn0", secret: new Uint8Array(32), now: 90_000_500 };
  const message = webhookMessage(event, context);
  assertEquals(JSON.parse(message.body), {
    type: "peer.endpoint_changed",
    timestamp: "1970-01-02T00:00:00.000Z",
    data: { gateway: "vpn0", name: "laptop", publicKey: "KEY=", detail: "192.0.2.1:5" },
  });
  assertEquals(message.headers["webhook-id"], "vpn0-86400000-7");
  assertEquals(message.headers["webhook-timestamp"], "90000");
  const reloaded = { ...event, kind: "reloaded", peer: null, name: null };
  assertEquals(JSON.parse(webhookMessage(reloaded, context).body).type, "gateway.reloaded");
});

hostTest("a message is taken by 2xx alone, and a redirection is not followed", async () => {
  const seen: string[] = [];
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      seen.push(
        `${request.method} ${pathname} ${request.headers.get("webhook-id")} ${await request
          .text()}`,
      );
      const status = Number(pathname.slice(1));
      return new Response("x", { status, headers: status === 302 ? { location: "/200" } : {} });
    },
  );
  using client = openWebhookClient();
  const url = `http://127.0.0.1:${server.addr.port}`;
  const message = { body: "body", headers: { "webhook-id": "1" } };
  const answers: (string | null)[] = [];
  for (const status of [200, 202, 302, 404, 500]) {
    answers.push(await postWebhook(`${url}/${status}`, message, { client, ended: NEVER }));
  }
  assertEquals(answers, [null, null, "it answers 302", "it answers 404", "it answers 500"]);
  assertEquals(seen, [200, 202, 302, 404, 500].map((status) => `POST /${status} 1 body`));
});

hostTest(
  "a server that is not there, or that does not answer before the end, is a reason",
  async () => {
    const message = { body: "", headers: {} };
    using client = openWebhookClient();
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const url = `http://127.0.0.1:${listener.addr.port}/`;
    const ended = new AbortController();
    const waiting = postWebhook(url, message, { client, ended: ended.signal });
    const connection = await listener.accept();
    ended.abort();
    assertMatch(await waiting ?? "", /abort/i);
    connection.close();
    listener.close();
    assertMatch(
      await postWebhook(url, message, { client, ended: NEVER }) ?? "",
      /connect|refused/i,
    );
  },
);
