/** Tests that an apt with folders of its own leaves the host's alone. */
import { assertEquals } from "./assert.ts";
import { withFolder } from "./folder.ts";
import { isInstalled } from "./net.ts";
import { layOwnApt } from "./own_apt.ts";
import { hostTest, missingPermission } from "./permissions.ts";

hostTest({
  name:
    "an apt of its own reads and writes no list, cache or state of the host's, and runs no hook",
  ignore: missingPermission() !== null || !isInstalled("apt-config"),
  fn: () =>
    withFolder(async (folder) => {
      const apt = layOwnApt({ folder, suite: "unstable", downloads: `${folder}/downloads` });
      const paths = [
        "Dir::State::lists",
        "Dir::State::status",
        "Dir::State::extended_states",
        "Dir::Cache::archives",
        "Dir::Etc::sourcelist",
        "Dir::Log",
      ];
      for (const path of paths) {
        const [, value] = (await apt("apt-config", "shell", "it", `${path}/f`)).split("'");
        assertEquals(value?.startsWith(`${folder}/`), true, `${path} is ${value}`);
      }
      const dump = await apt("apt-config", "dump", "APT::Update");
      assertEquals(/Invoke\S* "[^"]/.exec(dump), null, dump);
      assertEquals(/^APT::Update::Error-Mode "any";$/m.test(dump), true, dump);
    }),
});
