// What every page does: times in the reader's zone, keys, and parts that follow the jobs.

import { showTimes } from "./times.js";
import { listenForButtons } from "./buttons.js";
import { listenForKeys } from "./keys.js";
import { follow } from "./live.js";

document.documentElement.classList.add("scripted");
showTimes(document);
listenForKeys();
listenForButtons();
follow();
