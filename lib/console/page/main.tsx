/** Entry of the page, which a browser runs. */
import { render } from "preact";
import { App } from "./app.tsx";
import { onSessionEnd } from "./state/api.ts";
import { followAddress } from "./state/router.ts";
import { forgetAccount, loadSession } from "./state/session.ts";
import { restoreTheme } from "./state/theme.ts";
import "uplot/dist/uPlot.min.css";
import "./style/page.css";

restoreTheme();
followAddress();
onSessionEnd(forgetAccount);
void loadSession();
render(<App />, document.getElementById("page")!);
