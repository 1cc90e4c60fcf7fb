// The start page: its colours.
import { dress } from "../shared/theme.js";

const button = document.getElementById("theme");
button.hidden = false;
dress(button);
