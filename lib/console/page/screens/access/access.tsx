/** Screen "access": groups and their rules, peers with rules of their own, and a test of what they say. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button } from "../../parts/controls.tsx";
import { ActionDialog } from "../../parts/dialog.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Card, Empty, TitledScreen } from "../../parts/parts.tsx";
import { call } from "../../state/api.ts";
import { announce } from "../../state/messages.ts";
import { useResource } from "../../state/resource.ts";
import { linkTo } from "../../state/router.ts";
import { mayAdminister } from "../../state/session.ts";
import type { GroupEntry, PeerEntry, PeerList } from "../../../../control/application/methods.ts";
import { countText } from "../../text/format.ts";
import { AccessTester } from "./access_tester.tsx";
import { GroupDialog } from "./group_dialog.tsx";
import { RuleList } from "./rule_list.tsx";

type Open =
  | { readonly kind: "edit"; readonly group: GroupEntry | null }
  | { readonly kind: "remove"; readonly group: GroupEntry };

export function AccessScreen(): JSX.Element {
  const list = useResource<PeerList>("/peers");
  const [open, setOpen] = useState<Open | null>(null);
  return (
    <TitledScreen
      title="Access rules"
      actions={mayAdminister.value
        ? (
          <Button kind="main" icon="plus" onClick={() => setOpen({ kind: "edit", group: null })}>
            Add a group
          </Button>
        )
        : undefined}
    >
      <div class="grid two-columns">
        <div class="stack">
          <Card title="Groups" isFull>
            <Loaded of={list}>
              {({ groups }) => <Groups groups={groups} onOpen={setOpen} />}
            </Loaded>
          </Card>
          <Card title="Peers with rules of their own" isFull>
            <Loaded of={list}>{({ peers }) => <OwnRules peers={peers} />}</Loaded>
          </Card>
        </div>
        <div class="stack">
          <AccessTester />
          <Card title="How rules are read">
            <ul class="notes">
              <li>A peer without an Allow may go everywhere.</li>
              <li>With one Allow, of its own or of a group, it may go only there.</li>
              <li>A Deny wins over every Allow.</li>
              <li>Answers to what a peer began always pass.</li>
              <li>
                Targets: <code>internet</code>, <code>lan</code>, <code>gateway</code>,{" "}
                <code>peers</code>, <code>peer:NAME</code>,{" "}
                <code>group:NAME</code>, a network, a host name. Behind it services, as in{" "}
                <code>tcp/443</code>.
              </li>
            </ul>
          </Card>
        </div>
      </div>
      {open?.kind === "edit"
        ? <GroupDialog group={open.group} onDone={list.reload} onClose={() => setOpen(null)} />
        : null}
      {open?.kind === "remove"
        ? <RemoveGroup group={open.group} onDone={list.reload} onClose={() => setOpen(null)} />
        : null}
    </TitledScreen>
  );
}

interface GroupsProps {
  readonly groups: readonly GroupEntry[];
  readonly onOpen: (open: Open) => void;
}

function Groups({ groups, onOpen }: GroupsProps): JSX.Element {
  if (groups.length === 0) {
    return (
      <Empty icon="access" title="No groups yet">
        <p>A group gives several peers the same rules: contractors, printers, the office.</p>
      </Empty>
    );
  }
  return (
    <div class="table-box" tabIndex={0} role="group" aria-label="Groups">
      <table class="table">
        <thead>
          <tr>
            <th>Name</th>
            <th>May go to</th>
            <th>May not go to</th>
            <th>Members</th>
            {mayAdminister.value
              ? (
                <th>
                  <span class="out-of-sight">Change</span>
                </th>
              )
              : null}
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={group.name}>
              <td class="strong">{group.name}</td>
              <td data-label="May go to">
                <RuleList text={group.allow} none="anywhere" />
              </td>
              <td data-label="May not go to">
                <RuleList text={group.deny} none="–" />
              </td>
              <td data-label="Members" class="nowrap" title={group.members.join(", ")}>
                {countText(group.members.length, "peer")}
              </td>
              {mayAdminister.value
                ? (
                  <td>
                    <div class="row is-tight">
                      <Button
                        kind="plain"
                        isSmall
                        icon="edit"
                        label={`Edit ${group.name}`}
                        onClick={() => onOpen({ kind: "edit", group })}
                      />
                      <Button
                        kind="plain"
                        isSmall
                        isDanger
                        icon="trash"
                        label={`Remove ${group.name}`}
                        onClick={() => onOpen({ kind: "remove", group })}
                      />
                    </div>
                  </td>
                )
                : null}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function OwnRules({ peers }: { peers: readonly PeerEntry[] }): JSX.Element {
  const own = peers.filter(({ settings }) =>
    settings["Allow"] !== undefined || settings["Deny"] !== undefined
  );
  if (own.length === 0) {
    return (
      <Empty icon="peers" title="No peer has rules of its own">
        <p>They are set on the screen of a peer.</p>
      </Empty>
    );
  }
  return (
    <div class="table-box" tabIndex={0} role="group" aria-label="Peers with rules of their own">
      <table class="table">
        <thead>
          <tr>
            <th>Peer</th>
            <th>May go to</th>
            <th>May not go to</th>
          </tr>
        </thead>
        <tbody>
          {own.map(({ name, publicKey, settings }) => (
            <tr key={publicKey}>
              <td>
                <a href={linkTo("peers", publicKey)}>{name ?? publicKey.slice(0, 12)}</a>
              </td>
              <td data-label="May go to">
                <RuleList text={settings["Allow"] ?? ""} none="–" />
              </td>
              <td data-label="May not go to">
                <RuleList text={settings["Deny"] ?? ""} none="–" />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RemoveGroup(
  { group, onDone, onClose }: {
    group: GroupEntry;
    onDone: () => Promise<void>;
    onClose: () => void;
  },
): JSX.Element {
  const remove = async () => {
    try {
      await call("DELETE", `/groups/${encodeURIComponent(group.name)}`, {
        revision: group.revision,
      });
      announce(`The group ${group.name} is removed`);
    } finally {
      await onDone();
    }
  };
  return (
    <ActionDialog
      title={`Remove ${group.name}?`}
      action="Remove"
      isDanger
      onConfirm={remove}
      onClose={onClose}
    >
      <p>
        Its {countText(group.members.length, "member")}{" "}
        stay, and lose what it allows and denies: who has no other Allow may go everywhere.
      </p>
    </ActionDialog>
  );
}
