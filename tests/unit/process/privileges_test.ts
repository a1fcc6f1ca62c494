/** Tests of `lib/process/privileges.ts`: what is told where a check may not look. */
import { assertMatch } from "../../support/assert.ts";
import { privilegeRemedy } from "../../../lib/process/privileges.ts";

Deno.test("privilegeRemedy() does not tell root to be root", () => {
  assertMatch(privilegeRemedy(0), /^this container's root lacks .* `--cap-add NET_ADMIN`/);
  assertMatch(privilegeRemedy(1000), /as root$/);
});
