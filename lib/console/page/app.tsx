/** The page as a whole: which screen is shown, by the address and by who is logged in. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Frame, Messages } from "./frame.tsx";
import { Button } from "./parts/controls.tsx";
import { Empty, TitledScreen, Wait } from "./parts/parts.tsx";
import { AccessScreen } from "./screens/access/access.tsx";
import { AccountsScreen } from "./screens/accounts/accounts.tsx";
import { OwnAccountScreen } from "./screens/accounts/own_account.tsx";
import { TokensScreen } from "./screens/accounts/tokens.tsx";
import { AddPeer } from "./screens/add_peer/add_peer.tsx";
import { DnsScreen } from "./screens/dns.tsx";
import { EventsScreen } from "./screens/events/events.tsx";
import { GatewaysScreen } from "./screens/gateways.tsx";
import { LoginScreen } from "./screens/login/login.tsx";
import { RedeemScreen } from "./screens/login/redeem.tsx";
import { NotSetUpScreen, SetUpScreen } from "./screens/login/setup.tsx";
import { OverviewScreen } from "./screens/overview/overview.tsx";
import { PeerScreen } from "./screens/peer/peer.tsx";
import { RotatePeer } from "./screens/peer/rotate_peer.tsx";
import { PeersScreen } from "./screens/peers/peers.tsx";
import { SettingsScreen } from "./screens/settings/settings.tsx";
import { followGateway } from "./state/live_feed.ts";
import { linkTo, route } from "./state/router.ts";
import { forgetAccount, loadSession, session, sessionTrouble } from "./state/session.ts";

export function App(): JSX.Element {
  return (
    <>
      <Place />
      <Messages />
    </>
  );
}

function Place(): JSX.Element {
  const known = session.value;
  const [first = "", second = ""] = route.value;
  if (known === null) return <Beginning />;
  // By the links alone, with or without an account.
  if (first === "link") return <RedeemScreen token={second} />;
  if (first === "setup" && (second !== "" || known.account !== null)) {
    return <SetUpScreen token={second} />;
  }
  if (!known.isSetUp) return <NotSetUpScreen />;
  return known.account === null ? <LoginScreen /> : <Inside />;
}

function Beginning(): JSX.Element {
  const trouble = sessionTrouble.value;
  return (
    <main class="gate">
      {trouble === null ? <Wait /> : (
        <Empty icon="warning" title="The console does not answer">
          <p>{trouble}</p>
          <Button onClick={() => void loadSession()}>Try again</Button>
        </Empty>
      )}
    </main>
  );
}

function Inside(): JSX.Element {
  useEffect(() => followGateway(forgetAccount), []);
  const [first = "", second] = route.value;
  return (
    <>
      <Frame>
        <Chosen key={route.value.join("/")} first={first} second={second} />
      </Frame>
      <AddPeer />
      <RotatePeer />
    </>
  );
}

function Chosen({ first, second }: { first: string; second: string | undefined }): JSX.Element {
  switch (first) {
    case "":
      return <OverviewScreen />;
    case "peers":
      return second === undefined ? <PeersScreen /> : <PeerScreen publicKey={second} />;
    case "access":
      return <AccessScreen />;
    case "dns":
      return <DnsScreen />;
    case "gateways":
      return <GatewaysScreen />;
    case "events":
      return <EventsScreen />;
    case "accounts":
      return <AccountsScreen />;
    case "account":
      return <OwnAccountScreen />;
    case "tokens":
      return <TokensScreen />;
    case "settings":
      return <SettingsScreen />;
    default:
      return (
        <TitledScreen title="Nothing is here">
          <Empty icon="search" title="There is no such screen">
            <a class="button" href={linkTo()}>Overview</a>
          </Empty>
        </TitledScreen>
      );
  }
}
