import { h } from "../shared/dom.js";
